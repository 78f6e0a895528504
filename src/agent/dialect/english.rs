//! Plain English, for models that follow instructions.
//!
//! A verdict is a line of its own, `VERDICT: success`. A lesson is a block of `title:`, `description:`, `content:` and
//! where it helps `steps:` lines; Markdown around the keys is forgiven.

use super::transcript::{TRANSCRIPT_CHARS, transcript};
use super::{Dialect, Item, Learning, Material, Rejected, read_items};
use crate::agent::judge::Caution;
use crate::agent::{Task, Verdict};
use crate::{Judgment, Outcome, Step, Strategy, StrategyKind};
use std::fmt::Write;

/// Plain English.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct English;

impl Dialect for English {
    fn name(&self) -> &str {
        "english/1"
    }

    fn remind(&self, lessons: &[Strategy], observation: &str) -> String {
        let mut text = "Notes from earlier tasks. Use what fits this task and ignore the rest.\n".to_owned();
        for lesson in lessons {
            let what = if lesson.kind == StrategyKind::Guardrail { "avoid" } else { "do" };
            let text_of = [&lesson.description, &lesson.content].map(|part| one_line(part)).join(" ");
            let _ = writeln!(text, "- ({what}) {}: {text_of}", one_line(&lesson.title));
        }
        text.push('\n');
        text.push_str(observation);
        text
    }

    fn warn(&self, lessons: &[Strategy]) -> String {
        let mut text = "\nWait: earlier tasks failed with this action.\n".to_owned();
        for lesson in lessons {
            let _ = writeln!(text, "- {}: {}", one_line(&lesson.title), one_line(&lesson.content));
        }
        text.push_str(
            "It was not carried out. Give the action to take now; it may be the same if this does not apply.\n",
        );
        text
    }

    fn retry(&self, observation: &str, attempt: usize, judgment: &Judgment) -> String {
        let once_more = match (judgment.outcome, attempt) {
            (Outcome::Failure, 1) => {
                "That attempt did not hold up when it was checked. Find the first step that went wrong, then start over."
            }
            (Outcome::Failure, _) => "Check once more and start over; do not repeat what has failed above.",
            (Outcome::Partial, _) => "Only a part of the task was done. Find what is missing, then start over.",
            (Outcome::Success | Outcome::Unknown, _) => {
                "Go over that attempt once more, step by step, whether it was right or not, then start over."
            }
        };
        format!("\n{once_more}\n\n{observation}")
    }

    fn ask_verdict(&self, task: &Task, steps: &[Step], caution: Caution) -> String {
        let doubt = match caution {
            Caution::AgainstFalseSuccess => {
                "Others will copy this attempt if you call it a success, so a mistaken success does more harm than a \
                 mistaken failure: say success only if the transcript shows that every part of the task was done."
            }
            Caution::AgainstFalseFailure => {
                "Say failure only if the transcript shows that some part of the task was not done."
            }
            Caution::Even => "Weigh both kinds of mistake alike.",
        };
        format!(
            "An agent was given a task. Decide whether the task was done, from the transcript alone.\n\n\
             Task: {}\n\nTranscript (what it saw, what it did):\n{}\n\
             {doubt} If the transcript does not show enough to tell, say unknown.\n\
             Give one sentence of reasons, then end with one line of exactly this form:\n\
             VERDICT: success, VERDICT: partial, VERDICT: failure or VERDICT: unknown\n",
            task.name,
            transcript(steps, TRANSCRIPT_CHARS)
        )
    }

    fn read_verdict(&self, reply: &str) -> Verdict {
        let mut verdict = None;
        for line in reply.lines() {
            let Some(word) = verdict_of(line) else { continue };
            let outcome = match word.as_str() {
                "success" => Outcome::Success,
                "partial" => Outcome::Partial,
                "failure" => Outcome::Failure,
                "unknown" => Outcome::Unknown,
                _ => return Verdict::Abstains(format!("no verdict is called {word:?}")),
            };
            match verdict.replace(outcome) {
                Some(before) if before != outcome => {
                    return Verdict::Abstains("it gave two verdicts that differ".to_owned());
                }
                _ => {}
            }
        }
        match verdict {
            Some(Outcome::Unknown) => Verdict::Abstains("it could not tell".to_owned()),
            Some(outcome) => Verdict::Is(outcome),
            None => Verdict::Abstains("it gave no verdict line".to_owned()),
        }
    }

    fn ask_lessons(&self, material: &Material<'_>) -> String {
        let (what, how) = match material.kind {
            Learning::Success => (
                "An agent solved the task below.",
                "Work out what made it work, then write down the steps or checks that would help with other tasks of this \
                 kind.",
            ),
            Learning::Failure => (
                match material.attempts {
                    [lived] if lived.judgment.outcome == Outcome::Partial => {
                        "An agent did only a part of the task below."
                    }
                    _ => "An agent failed at the task below.",
                },
                "Find the first decision that led to the failure. Then write down how to notice that situation early and \
                 what to do instead.",
            ),
            Learning::Contrast => (
                "An agent tried the task below several times; some attempts may have succeeded and some failed.",
                "Compare the attempts. Write down what the successful ones did that the others did not, and what only the \
                 failed ones did. Leave out what all of them share.",
            ),
        };
        let mut text = format!("{what}\n\nTask: {}\n", material.task.name);
        // All attempts together are no longer than one: a prompt must not outgrow the model because a task was tried often.
        let n_chars = TRANSCRIPT_CHARS / material.attempts.len().max(1);
        for (at, lived) in material.attempts.iter().enumerate() {
            let outcome = lived.judgment.outcome.as_str();
            let _ = write!(text, "\nAttempt {at}, judged {outcome}:\n{}", transcript(lived.steps, n_chars));
            if !lived.judgment.rationale.is_empty() {
                let _ = writeln!(text, "Reason given: {}", lived.judgment.rationale);
            }
        }
        let _ = write!(
            text,
            "\n{how}\nAt most {} lessons, each about something else, each of use in tasks with other names and numbers. Never \
             repeat the answer, names, numbers or quotes of this task.\nForm, one block a lesson:\n\
             title: a few words\ndescription: one sentence that says when it applies\ncontent: what to do and why, in one to \
             three sentences\nsteps: {} step of the transcript it comes from\n\
             If there is nothing worth keeping, write NONE.\n",
            material.max_items,
            if material.attempts.len() > 1 { "attempt:first-last" } else { "first-last" }
        );
        text
    }

    fn read_lessons(&self, reply: &str, _: &Material<'_>) -> Vec<Result<Item, Rejected>> {
        read_items(reply)
    }
}

/// The word of a line `VERDICT: word`, in lower case; more words make it no verdict that is known.
fn verdict_of(line: &str) -> Option<String> {
    let decoration = |c: char| c.is_whitespace() || "*_#>`-".contains(c);
    let line = line.trim_matches(decoration).to_lowercase();
    let rest = line.strip_prefix("verdict")?.trim_start_matches(decoration).strip_prefix(':')?;
    Some(rest.trim_matches(|c: char| decoration(c) || ".!".contains(c)).to_owned())
}

/// A text as one line: a lesson cannot pass for what stands around it.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
