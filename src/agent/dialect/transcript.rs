//! A trajectory as a text that fits a prompt: steps numbered from 0, long ones cut in their middle.

use crate::Step;
use std::fmt::Write;

/// The most characters of one observation or action.
const PART_CHARS: usize = 2_000;
/// The most characters of a transcript; what does not fit is cut out of its middle, whole steps at a time.
const ALL_CHARS: usize = 24_000;

/// The steps, one block each.
pub(super) fn transcript(steps: &[Step]) -> String {
    let blocks: Vec<String> = steps.iter().enumerate().map(|(at, step)| block(at, step)).collect();
    let (head, tail) = ends(&blocks);
    let n_left_out = blocks.len() - head - tail;
    let mut text = blocks.iter().take(head).cloned().collect::<String>();
    if n_left_out > 0 {
        let _ = writeln!(text, "({n_left_out} steps are not shown)");
    }
    text.extend(blocks.iter().skip(blocks.len() - tail).cloned());
    text
}

/// How many blocks fit, from the beginning and from the end in turn.
fn ends(blocks: &[String]) -> (usize, usize) {
    let (mut head, mut tail, mut left) = (0, 0, ALL_CHARS);
    while head + tail < blocks.len() {
        let from_head = head <= tail;
        let next = if from_head { head } else { blocks.len() - 1 - tail };
        let n_chars = blocks.get(next).map_or(0, String::len);
        if n_chars > left {
            break;
        }
        left -= n_chars;
        if from_head { head += 1 } else { tail += 1 }
    }
    (head, tail)
}

fn block(at: usize, step: &Step) -> String {
    let mut text = format!("[{at}] saw: {}\n", shortened(&step.observation));
    if !step.action.is_empty() {
        let _ = writeln!(text, "    did: {}", shortened(&step.action));
    }
    if let Some(error) = &step.error_signature {
        let _ = writeln!(text, "    error: {}", shortened(error));
    }
    text
}

/// The text without its middle, if it is long.
fn shortened(text: &str) -> String {
    let text = text.trim();
    let n_chars = text.chars().count();
    if n_chars <= PART_CHARS {
        return text.to_owned();
    }
    let half = PART_CHARS / 2;
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
        let text = transcript(&steps);
        assert!(text.len() < ALL_CHARS + 100, "{}", text.len());
        assert!(text.contains("[0] saw") && text.contains("did: act 199") && text.contains("steps are not shown"));
        assert_eq!(transcript(&[Step::new("a", "b"), Step::new("c", "")]), "[0] saw: a\n    did: b\n[1] saw: c\n");
    }
}
