//! Recorded tool-agent conversations in the form of tau-bench's `historical_trajectories`: a JSON array of
//! `{task_id, trial, reward, traj: [chat messages]}`.
//!
//! The four trials of a task become one rollout group; the reward becomes the judgment. The task is the user's first
//! message. What the agent read since it last acted (system, user, tool) is the observation of a step; what it then
//! said or called is the action, and the call in normal form its signature.
//!
//! Where the right outcome is to change nothing, a run that only stalled is rewarded too. So a success in which nothing but
//! reading tools was called counts half: its judgment has half the score, and says why.
//!
//! Yao et al., *tau-bench*, 2024, <https://arxiv.org/abs/2406.12045>.

use super::{
    COUNTS_MESSAGES, Call, Entry, Event, ImportedRecord, ImportedTrajectory, Place, Recording, StepMap, error_signature,
};
use crate::failure::Failure;
use lagdb::{Judgment, JudgmentSource, Outcome, Rollout, Step, Trajectory};
use serde::Deserialize;
use serde_json::Value;
use std::path::Path;

/// What a reward for a run that changed nothing counts.
const STALLED_WEIGHT: f64 = 0.5;
const STALLED: &str =
    "nothing but reading tools was called: rewarded also where the agent only stalled, so it counts half";

#[derive(Deserialize)]
struct Conversation {
    task_id: Value,
    trial: u32,
    reward: f64,
    traj: Vec<Message>,
    #[serde(default)]
    info: Info,
}

/// What the benchmark noted about the task; runs from elsewhere have none of it.
#[derive(Default, Deserialize)]
struct Info {
    task: Option<Task>,
}

#[derive(Deserialize)]
struct Task {
    actions: Option<Vec<ReferenceCall>>,
}

#[derive(Deserialize)]
struct ReferenceCall {
    name: String,
    kwargs: Value,
}

#[derive(Deserialize)]
struct Message {
    role: String,
    content: Option<String>,
    tool_calls: Option<Vec<ToolCall>>,
    tool_call_id: Option<String>,
    name: Option<String>,
}

#[derive(Deserialize)]
struct ToolCall {
    id: Option<String>,
    function: Function,
}

#[derive(Deserialize)]
struct Function {
    name: String,
    arguments: String,
}

/// Reads a whole array of conversations.
///
/// # Errors
/// [`Failure::Input`] with the number of the element that is not a conversation, or of the line that is not JSON.
pub fn tau_bench(path: &Path, bytes: &[u8]) -> Result<Vec<Entry>, Failure> {
    let elements: Vec<Value> = serde_json::from_slice(bytes)
        .map_err(|error| Place::line(path, error.line()).fail(format!("not JSON: {error}")))?;
    let read = |(i, element): (usize, Value)| {
        let place = Place::element(path, i + 1);
        let conversation: Conversation = serde_json::from_value(element)
            .map_err(|error| place.fail(format!("not a tau-bench conversation: {error}")))?;
        let imported = conversation.into_trajectory().map_err(|error| place.fail(error))?;
        Ok(Entry { place, record: ImportedRecord::Trajectory(imported) })
    };
    elements.into_iter().enumerate().map(read).collect()
}

impl Conversation {
    fn into_trajectory(self) -> lagdb::Result<ImportedTrajectory> {
        let first_message = self.traj.iter().find(|message| message.role == "user");
        let task = first_message.and_then(|message| message.content.clone()).unwrap_or_default();
        let (mut steps, map, events) = steps(&self.traj);
        sign(&mut steps, &events)?;
        let group = match &self.task_id {
            Value::String(group) => group.clone(),
            other => other.to_string(),
        };
        let rollout = Some(Rollout { group, attempt: self.trial });
        let labels = vec![COUNTS_MESSAGES.to_owned()];
        let trajectory = Trajectory { task, steps, rollout, labels, ..Trajectory::default() };
        let judgment = judgment(self.reward, &events);
        let reference = self
            .info
            .task
            .and_then(|task| task.actions)
            .map(|calls| calls.into_iter().map(|call| Call { tool: call.name, arguments: call.kwargs }).collect());
        let recording = Some(Recording { events, reference });
        Ok(ImportedTrajectory { trajectory, judgment: Some(judgment), steps: map, recording })
    }
}

/// The reward, halved where it says little.
fn judgment(reward: f64, events: &[Event]) -> Judgment {
    let judgment = Judgment::new(outcome(reward), "tau-bench reward").source(JudgmentSource::Environment);
    if judgment.outcome == Outcome::Success && events.iter().all(Event::only_reads) {
        return judgment.score(reward * STALLED_WEIGHT).rationale(STALLED);
    }
    judgment.score(reward)
}

/// Writes into each step what was called and what went wrong.
fn sign(steps: &mut [Step], events: &[Event]) -> lagdb::Result<()> {
    let mut steps_of_calls = Vec::new();
    for event in events {
        match event {
            Event::Said(_) => {}
            Event::Called { step, call } => {
                steps_of_calls.push(*step as usize);
                if let Some(step) = steps.get_mut(*step as usize) {
                    step.action_signature = Some(call.action()?.call());
                }
            }
            Event::Answered { call, error, .. } => {
                let step = call.and_then(|call| steps_of_calls.get(call)).and_then(|step| steps.get_mut(*step));
                if let Some((step, error)) = step.zip(error.as_ref()) {
                    step.error_signature = Some(error.clone());
                }
            }
        }
    }
    Ok(())
}

fn outcome(reward: f64) -> Outcome {
    if reward >= 1.0 {
        Outcome::Success
    } else if reward > 0.0 {
        Outcome::Partial
    } else {
        Outcome::Failure
    }
}

/// The conversation as steps, which step each message went to, and what happened in between.
fn steps(messages: &[Message]) -> (Vec<Step>, StepMap, Vec<Event>) {
    let (mut steps, mut map, mut events, mut observation) = (Vec::new(), StepMap::default(), Vec::new(), String::new());
    let mut calls = Calls::default();
    for message in messages {
        map.push(steps.len());
        events.extend(message.events(steps.len(), &mut calls));
        if message.role == "assistant" {
            steps.push(Step::new(std::mem::take(&mut observation), message.text()));
        } else {
            if !observation.is_empty() {
                observation.push('\n');
            }
            observation.push_str(&message.text());
        }
    }
    if !observation.is_empty() {
        // The conversation ended with what the agent did not answer.
        steps.push(Step::new(observation, ""));
    }
    (steps, map, events)
}

/// The calls so far, and which of them wait for an answer.
#[derive(Default)]
struct Calls<'a> {
    tools: Vec<&'a str>,
    open: Vec<(usize, Option<&'a str>)>,
}

impl<'a> Calls<'a> {
    fn made(&mut self, call: &'a ToolCall) {
        self.open.push((self.tools.len(), call.id.as_deref()));
        self.tools.push(&call.function.name);
    }

    /// Which call is answered: the one of this number, or where there are no numbers the first that waits.
    fn answered(&mut self, id: Option<&str>) -> Option<usize> {
        let is_it = |(_, of): &(usize, Option<&str>)| id.is_none() || of.is_none() || *of == id;
        let at = self.open.iter().position(is_it)?;
        Some(self.open.remove(at).0)
    }
}

impl Message {
    fn events<'a>(&'a self, step: usize, calls: &mut Calls<'a>) -> Vec<Event> {
        let content = || self.content.clone().unwrap_or_default();
        match self.role.as_str() {
            "user" => vec![Event::Said(content())],
            "tool" => {
                let call = calls.answered(self.tool_call_id.as_deref());
                let error = call.and_then(|at| error_signature(calls.tools.get(at)?, &content()));
                vec![Event::Answered { call, text: content(), error }]
            }
            "assistant" => {
                let step = u32::try_from(step).unwrap_or(u32::MAX);
                let called = |it: &'a ToolCall| {
                    calls.made(it);
                    Event::Called { step, call: Call::parse(&it.function.name, &it.function.arguments) }
                };
                self.tool_calls.iter().flatten().map(called).collect()
            }
            _ => Vec::new(),
        }
    }

    /// `role: content`, with tool calls as `call name(arguments)`.
    fn text(&self) -> String {
        let calls = self.tool_calls.iter().flatten();
        let calls = calls.map(|call| format!("call {}({})", call.function.name, call.function.arguments));
        let said = self.content.iter().map(|content| match (self.role.as_str(), &self.name) {
            ("assistant", _) => content.clone(),
            (role, Some(name)) => format!("{role} {name}: {content}"),
            (role, None) => format!("{role}: {content}"),
        });
        said.chain(calls).collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn messages_pair_up_into_steps() {
        let text = json!([{"task_id": 3, "trial": 1, "reward": 1.0, "info": {}, "traj": [
            {"role": "system", "content": "rules"},
            {"role": "user", "content": "hello"},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": "x", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
            {"role": "tool", "name": "f", "content": "42"},
            {"role": "assistant", "content": "it is 42"},
            {"role": "user", "content": "bye"},
        ]}])
        .to_string();
        let entries = tau_bench(Path::new("x.json"), text.as_bytes()).expect("a conversation");
        let ImportedRecord::Trajectory(imported) = &entries[0].record else { panic!("not a trajectory") };
        let ImportedTrajectory { trajectory, judgment, steps, recording } = imported;
        assert_eq!(trajectory.task, "hello");
        assert_eq!(trajectory.rollout, Some(Rollout { group: "3".into(), attempt: 1 }));
        assert_eq!(judgment.as_ref().map(|j| j.outcome), Some(Outcome::Success));
        let actions: Vec<&str> = trajectory.steps.iter().map(|step| step.action.as_str()).collect();
        assert_eq!(actions, ["call f({})", "it is 42", ""]);
        assert_eq!(trajectory.steps[1].observation, "tool f: 42");
        // Messages 2 to 4: the call, what came back, and the answer.
        assert_eq!(steps.steps(2, 4), Some((0, 1)));
        assert_eq!(steps.steps(4, 6), None);
        assert_eq!(trajectory.steps[0].action_signature.as_deref(), Some("f()"));
        assert_eq!(recording.as_ref().map(|it| it.events.len()), Some(4));
    }

    /// An answer was once given to the call before it; of two calls in one message the first lost its answer, and the second
    /// was told what went wrong with the first.
    #[test]
    fn answers_find_their_calls_when_several_were_made_at_once() {
        let call = |id: &str, tool: &str| json!({"id": id, "function": {"name": tool, "arguments": "{}"}});
        let answer =
            |id: &str, content: &str| json!({"role": "tool", "tool_call_id": id, "name": "?", "content": content});
        let text = json!([{"task_id": 3, "trial": 1, "reward": 0.0, "traj": [
            {"role": "user", "content": "hello"},
            {"role": "assistant", "content": null, "tool_calls": [call("a", "cancel"), call("b", "refund")]},
            answer("b", "done"), answer("a", "Error: no order 7"), answer("c", "Error: of an earlier call"),
            {"role": "assistant", "content": null, "tool_calls": [call("d", "pay")]},
            answer("d", "paid"),
        ]}]);
        let entries = tau_bench(Path::new("x.json"), text.to_string().as_bytes()).expect("a conversation");
        let ImportedRecord::Trajectory(imported) = entries[0].record.clone() else { panic!("not a trajectory") };
        let answered = imported.recording.iter().flat_map(|it| &it.events).filter_map(|event| match event {
            Event::Answered { call, error, .. } => Some((*call, error.clone())),
            _ => None,
        });
        let error = Some("cancel: no order #".to_owned());
        let expected = [(Some(1), None), (Some(0), error.clone()), (None, None), (Some(2), None)];
        assert_eq!(answered.collect::<Vec<_>>(), expected);
        assert_eq!(imported.trajectory.steps[0].error_signature, error);
        assert_eq!(imported.trajectory.steps[1].error_signature, None);
    }

    #[test]
    fn a_reward_for_changing_nothing_counts_half_and_errors_are_signed() {
        let run = |tool: &str, answer: &str| {
            let call = json!({"function": {"name": tool, "arguments": "{\"n\": 7}"}});
            let text = json!([{"task_id": 3, "trial": 1, "reward": 1.0, "traj": [
                {"role": "user", "content": "hello"},
                {"role": "assistant", "content": null, "tool_calls": [call]},
                {"role": "tool", "name": tool, "content": answer},
            ]}]);
            let entries = tau_bench(Path::new("x.json"), text.to_string().as_bytes()).expect("a conversation");
            let ImportedRecord::Trajectory(imported) = entries[0].record.clone() else { panic!("not a trajectory") };
            (imported.judgment.and_then(|judgment| judgment.score), imported.trajectory.steps[0].clone())
        };
        let (score, step) = run("get_order", "Error: no order 7");
        assert_eq!(score, Some(0.5));
        assert_eq!(step.action_signature.as_deref(), Some("get_order(n=7)"));
        assert_eq!(step.error_signature.as_deref(), Some("get_order: no order #"));
        assert_eq!(run("cancel_order", "done").0, Some(1.0));
    }
}
