//! A trajectory as a text that fits a prompt: steps numbered from 0, long ones cut in their middle.

use crate::Step;
use std::fmt::Write;

/// The most characters of one observation or action.
const PART_CHARS: usize = 2_000;
/// Parts that a transcript has room for, however long they are: two steps with an error each.
const N_PARTS: usize = 6;
/// The most characters of what one prompt tells of attempts, all of them together.
pub(super) const TRANSCRIPT_CHARS: usize = 24_000;

/// The steps, one block each, in about `n_chars` characters; what does not fit is cut out of the middle, whole steps at a time.
pub(super) fn transcript(steps: &[Step], n_chars: usize) -> String {
    let n_of_part = PART_CHARS.min(n_chars / N_PARTS);
    let blocks: Vec<String> = steps.iter().enumerate().map(|(at, step)| block(at, step, n_of_part)).collect();
    let (head, tail) = ends(&blocks, n_chars);
    let n_left_out = blocks.len() - head - tail;
    let mut text = blocks.iter().take(head).cloned().collect::<String>();
    if n_left_out > 0 {
        let _ = writeln!(text, "({n_left_out} steps are not shown)");
    }
    text.extend(blocks.iter().skip(blocks.len() - tail).cloned());
    text
}

/// How many blocks fit, from the beginning and from the end in turn.
fn ends(blocks: &[String], n_chars: usize) -> (usize, usize) {
    let (mut head, mut tail, mut left) = (0, 0, n_chars);
    while head + tail < blocks.len() {
        let from_head = head <= tail;
        let next = if from_head { head } else { blocks.len() - 1 - tail };
        let n_of_block = blocks.get(next).map_or(0, |block| block.chars().count());
        // The first and the last step are told whatever they say.
        if n_of_block > left && head + tail >= 2 {
            break;
        }
        left = left.saturating_sub(n_of_block);
        if from_head { head += 1 } else { tail += 1 }
    }
    (head, tail)
}

fn block(at: usize, step: &Step, n_chars: usize) -> String {
    let mut text = format!("[{at}] saw: {}\n", shortened(&step.observation, n_chars));
    if !step.action.is_empty() {
        let _ = writeln!(text, "    did: {}", shortened(&step.action, n_chars));
    }
    if let Some(error) = &step.error_signature {
        let _ = writeln!(text, "    error: {}", shortened(error, n_chars));
    }
    text
}

/// The text without its middle, if it is long.
fn shortened(text: &str, most: usize) -> String {
    let text = text.trim();
    let n_chars = text.chars().count();
    if n_chars <= most {
        return text.to_owned();
    }
    let half = most / 2;
    let head: String = text.chars().take(half).collect();
    let tail: String = text.chars().skip(n_chars - half).collect();
    format!("{head} … {tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_trajectory_keeps_its_ends() {
        let steps: Vec<Step> = (0..200).map(|i| Step::new("x".repeat(3_000), format!("act {i}"))).collect();
        let text = transcript(&steps, TRANSCRIPT_CHARS);
        assert!(text.chars().count() < TRANSCRIPT_CHARS + 100, "{}", text.len());
        assert!(text.contains("[0] saw") && text.contains("did: act 199") && text.contains("steps are not shown"));
        let short = transcript(&[Step::new("a", "b"), Step::new("c", "")], TRANSCRIPT_CHARS);
        assert_eq!(short, "[0] saw: a\n    did: b\n[1] saw: c\n");
    }

    /// Lengths were counted in bytes: Chinese got a third of the room, and a long step of a script of four bytes a character
    /// was so much "too long" that nothing was shown at all.
    #[test]
    fn every_script_gets_the_same_room() {
        let told = |letter: &str| {
            let steps: Vec<Step> = (0..200).map(|_| Step::new(letter.repeat(3_000), letter.repeat(3_000))).collect();
            let n_told = |n_chars| transcript(&steps, n_chars).matches("did: ").count();
            [n_told(TRANSCRIPT_CHARS), n_told(1_000), n_told(10)]
        };
        assert_eq!(told("x"), told("𝄞"));
        assert!(told("x").iter().all(|n| *n >= 2), "{:?}", told("x"));
    }
}
