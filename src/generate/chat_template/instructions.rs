//! The instructions of a compiled template: everything whose cost depends on its values becomes a call of a function that pays
//! for it, and what a namespace is given is looked at before, so that none comes to hold itself.

use super::functions;
use minijinja::machinery::{Instruction, Instructions};

/// Parameters of a macro, which carries their names along.
const MAX_PARAMETERS: usize = 32;

/// The same instructions with [`functions::HELD`] called with every value that a namespace is given.
pub(super) fn with_looks<'s>(made: &Instructions<'s>, name: &'s str, source: &'s str) -> Instructions<'s> {
    let (mut starts, mut end) = (Vec::new(), 0);
    while let Some(instruction) = made.get(starts.len() as u32) {
        starts.push(end);
        end += if matches!(instruction, Instruction::SetAttr(_)) { 4 } else { 1 };
    }
    let moved = |to: u32| starts.get(to as usize).copied().unwrap_or(end);
    let mut looking = Instructions::new(name, source);
    for at in 0..starts.len() as u32 {
        let Some(instruction) = made.get(at) else { break };
        let line = made.get_line(at).and_then(|line| u16::try_from(line).ok()).unwrap_or(0);
        let instruction = match instruction {
            Instruction::Jump(to) => Instruction::Jump(moved(*to)),
            Instruction::JumpIfFalse(to) => Instruction::JumpIfFalse(moved(*to)),
            Instruction::JumpIfFalseOrPop(to) => Instruction::JumpIfFalseOrPop(moved(*to)),
            Instruction::JumpIfTrueOrPop(to) => Instruction::JumpIfTrueOrPop(moved(*to)),
            Instruction::Iterate(to) => Instruction::Iterate(moved(*to)),
            Instruction::BuildMacro(called, body, flags) => Instruction::BuildMacro(called, moved(*body), *flags),
            Instruction::SetAttr(_) => {
                // The value lies below the namespace.
                let look = Instruction::CallFunction(functions::HELD, Some(1));
                for before in [Instruction::Swap, look, Instruction::Swap] {
                    looking.add_with_line(before, line);
                }
                instruction.clone()
            }
            _ => instruction.clone(),
        };
        looking.add_with_line(instruction, line);
    }
    looking
}

/// Lets everything whose cost depends on its values go through a function that pays for it; returns the length of the longest
/// text between braces, which instructions write for nothing.
pub(super) fn pay_for_what_is_done(instructions: &mut Instructions<'_>) -> Result<usize, String> {
    let (mut at, mut longest, mut n_parameters) = (0, 0, 0);
    while let Some(instruction) = instructions.get_mut(at) {
        let n_arguments = |n: usize| u16::try_from(n).map_err(|_| format!("{n} values in one list"));
        let (name, n) = match instruction {
            Instruction::Add => (functions::ADD, 2),
            Instruction::Mul => (functions::MULTIPLY, 2),
            Instruction::StringConcat => (functions::CONCATENATE, 2),
            Instruction::Slice => (functions::SLICE, 4),
            Instruction::GetItem => (functions::ITEM, 2),
            Instruction::Eq => (functions::EQUAL, 2),
            Instruction::Ne => (functions::UNEQUAL, 2),
            Instruction::Lt => (functions::LESS, 2),
            Instruction::Lte => (functions::AT_MOST, 2),
            Instruction::Gt => (functions::MORE, 2),
            Instruction::Gte => (functions::AT_LEAST, 2),
            Instruction::In => (functions::IN, 2),
            Instruction::BuildList(Some(n)) | Instruction::BuildTuple(Some(n)) => (functions::LIST, n_arguments(*n)?),
            Instruction::BuildMap(n) => (functions::MAP, n_arguments(2 * *n)?),
            // What passed the condition of a loop, counted before it.
            Instruction::BuildList(None) => {
                *instruction = Instruction::CallFunction(functions::LIST, None);
                at += 1;
                continue;
            }
            Instruction::BuildTuple(None) | Instruction::UnpackLists(_) | Instruction::MergeKwargs(_) => {
                return Err("a list or map that is unpacked into another".to_owned());
            }
            Instruction::CallMethod(name, Some(n)) if *name == "changed" => (functions::CHANGED, *n),
            // The engine divides by how many there are.
            Instruction::CallMethod(name, Some(1)) if *name == "cycle" => {
                return Err("a cycle of nothing".to_owned());
            }
            Instruction::CompareAndPreserve(_) => return Err("a chain of comparisons".to_owned()),
            Instruction::Include(_) | Instruction::LoadBlocks => return Err("other templates are not read".to_owned()),
            Instruction::BuildMacro(name, ..) if n_parameters > MAX_PARAMETERS => {
                return Err(format!(
                    "the macro {name:.40} has {n_parameters} parameters; at most {MAX_PARAMETERS} are read"
                ));
            }
            Instruction::LoadConst(value) => {
                // A macro is built from the list of its parameters, which is the constant right before it.
                n_parameters = value.len().unwrap_or(0);
                at += 1;
                continue;
            }
            Instruction::EmitRaw(text) => {
                longest = longest.max(text.len());
                at += 1;
                continue;
            }
            _ => {
                at += 1;
                continue;
            }
        };
        *instruction = Instruction::CallFunction(name, Some(n));
        at += 1;
    }
    Ok(longest)
}
