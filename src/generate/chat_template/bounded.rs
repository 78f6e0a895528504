//! A Jinja template rendered within bounds of time and memory: a chat template is bytes out of a file, and a few of them can
//! ask for more steps or longer strings than any machine has.
//!
//! minijinja counts instructions ([`Bounds::steps`]). It does not count what they take: one doubles a string, one compares two
//! lists that share their parts many times over. So every instruction that makes a string or a list, or looks into one,
//! becomes a call of a function that pays for it first, and what is written is paid for when it is written. Constants are
//! folded while a template is compiled, before anything is counted: a product with anything but names and numbers beside it
//! is refused. Nothing holds itself, and expressions, and the thread that renders, have room for all the nesting that is left.
//! A macro is a call of instructions that are counted like all others, calls itself some ten times at most, and gives back a
//! string that was paid for while it was written. Other templates are not read.

use super::instructions::{pay_for_what_is_done, with_looks};
use super::{Date, functions};
use minijinja::machinery::{self, CodeGenerator, Token};
use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Value};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// The longest template; real ones have up to some ten thousand bytes.
const MAX_TEMPLATE: usize = 1 << 16;
/// The most words and signs between one pair of braces.
const MAX_EXPRESSION: usize = 1024;
/// Bytes of template text that may be written, loops included.
const MAX_RAW: usize = 1 << 28;
/// Macros and calls with a body, in each other: what one takes from around it is looked for in all that are in it.
const MAX_NESTED_MACROS: usize = 4;
/// Lists and maps that a template may make beyond those of constants; each can be nested in the next.
const MAX_CONTAINERS: usize = 10_000;
/// What the deepest nesting needs, with much to spare.
const STACK_BYTES: usize = 64 << 20;

/// What one rendering may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Instructions.
    pub(super) steps: u64,
    /// Bytes of all strings and lists that are made, and of what is written.
    pub(super) n_bytes: usize,
}

/// Why nothing was rendered.
#[derive(Debug, PartialEq)]
pub(super) enum Refusal {
    /// The template says so itself, of the messages.
    Raised(String),
    /// The template is not understood, or takes too much.
    Template(String),
}

/// What is left of the bounds.
#[derive(Clone)]
pub(super) struct Budget(Arc<Left>);

struct Left {
    bytes: AtomicUsize,
    containers: AtomicUsize,
    raised: Mutex<Option<String>>,
}

impl Budget {
    /// Pays for `n` bytes.
    pub(super) fn pay(&self, n: usize) -> Result<(), Error> {
        take(&self.0.bytes, n).ok_or_else(|| failed("the template makes too much text"))
    }

    /// Pays for a list or map of `n` values.
    pub(super) fn pay_container(&self, n: usize) -> Result<(), Error> {
        self.pay(n.saturating_mul(size_of::<Value>()))?;
        take(&self.0.containers, 1).ok_or_else(|| failed("the template makes too many lists"))
    }

    /// Notes that the template refuses the messages.
    pub(super) fn raise(&self, message: String) -> Error {
        let error = failed(&message);
        *self.0.raised.lock().unwrap_or_else(PoisonError::into_inner) = Some(message);
        error
    }
}

fn take(left: &AtomicUsize, n: usize) -> Option<()> {
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(n)).ok().map(drop)
}

/// An operation that a template asked for and does not get.
pub(super) fn failed(detail: &str) -> Error {
    Error::new(ErrorKind::InvalidOperation, detail.to_owned())
}

/// Renders `source` with `variables`.
///
/// # Errors
/// A [`Refusal`] that names the line.
pub(super) fn render(source: &str, variables: &Value, date: Option<Date>, bounds: Bounds) -> Result<String, Refusal> {
    let source = &without_generation(source);
    let left = Left {
        bytes: AtomicUsize::new(bounds.n_bytes),
        containers: AtomicUsize::new(MAX_CONTAINERS),
        raised: Mutex::new(None),
    };
    let budget = Budget(Arc::new(left));
    let rendered = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
        let thread = thread.spawn_scoped(scope, || render_here(source, variables, date, bounds, &budget));
        thread.map_err(|e| e.to_string())?.join().map_err(|_| "the template engine failed".to_owned())?
    });
    let raised = budget.0.raised.lock().unwrap_or_else(PoisonError::into_inner).take();
    rendered.map_err(|problem| raised.map_or(Refusal::Template(problem), Refusal::Raised))
}

fn render_here(
    source: &str,
    variables: &Value,
    date: Option<Date>,
    bounds: Bounds,
    budget: &Budget,
) -> Result<String, String> {
    let shown = |error: Error| match error.line() {
        Some(line) => format!("line {line}: {error}"),
        None => error.to_string(),
    };
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().map_err(shown)?;
    check(source, &syntax)?;
    check_macros(source, &syntax)?;
    let ast = machinery::parse(source, NAME, syntax).map_err(shown)?;
    let mut generator = CodeGenerator::new(NAME, source);
    generator.compile_stmt(&ast);
    let (instructions, blocks) = generator.finish();
    if !blocks.is_empty() {
        return Err("blocks of a template that others extend are not read".to_owned());
    }
    let mut instructions = with_looks(&instructions, NAME, source);
    let longest = pay_for_what_is_done(&mut instructions)?;
    let mut environment = Environment::empty();
    functions::add_to(&mut environment, budget, date);
    environment.set_recursion_limit(50);
    environment.set_fuel(Some(bounds.steps.min((MAX_RAW / longest.max(1)) as u64)));
    let mut text = String::new();
    let mut output = machinery::make_string_output(&mut text);
    let variables = variables.clone();
    let done = machinery::eval(&environment, &instructions, variables, &blocks, &mut output, AutoEscape::None);
    done.map(drop).map_err(shown)?;
    Ok(text)
}

/// The template with a condition that always holds in the place of each `{% generation %}`: it marks what the assistant says, for
/// those who train on it, and writes nothing.
fn without_generation(source: &str) -> String {
    let mut plain = String::with_capacity(source.len());
    for (i, part) in source.split("{%").enumerate() {
        if i > 0 {
            plain.push_str("{%");
        }
        let Some((block, after)) = part.split_once("%}").filter(|_| i > 0) else {
            plain.push_str(part);
            continue;
        };
        let word = block.trim_matches(|c: char| c.is_whitespace() || c == '-' || c == '+');
        match word {
            "generation" => plain.push_str(&block.replace(word, "if true")),
            "endgeneration" => plain.push_str(&block.replace(word, "endif")),
            _ => plain.push_str(block),
        }
        plain.push_str("%}");
        plain.push_str(after);
    }
    plain
}

/// The name of a template in the messages of the engine.
const NAME: &str = "chat template";

/// Refuses what would take much before anything is counted.
fn check(source: &str, syntax: &SyntaxConfig) -> Result<(), String> {
    if source.len() > MAX_TEMPLATE {
        return Err(format!("{} bytes; at most {MAX_TEMPLATE} are read", source.len()));
    }
    let (mut length, mut factor, mut product) = (0, true, false);
    for token in machinery::tokenize(source, false, syntax.clone()) {
        let (token, span) = token.map_err(|e| e.to_string())?;
        let is_factor = matches!(token, Token::Ident(_) | Token::Int(_) | Token::Float(_));
        let is_product = matches!(token, Token::Mul | Token::Pow);
        if product && !is_factor || is_product && !factor {
            return Err(format!("line {}: a product of anything but names and numbers", span.start_line));
        }
        (factor, product) = (is_factor, is_product);
        length = if matches!(token, Token::TemplateData(_)) { 0 } else { length + 1 };
        if length > MAX_EXPRESSION {
            return Err(format!("line {}: more than {MAX_EXPRESSION} words in one expression", span.start_line));
        }
    }
    Ok(())
}

/// Refuses macros that are nested deep: each is searched for the names it takes from around it, with all that are in it.
fn check_macros(source: &str, syntax: &SyntaxConfig) -> Result<(), String> {
    let (mut nested, mut begins) = (0_usize, false);
    for token in machinery::tokenize(source, false, syntax.clone()) {
        let (token, span) = token.map_err(|e| e.to_string())?;
        nested = match token {
            Token::Ident("macro" | "call") if begins => nested + 1,
            Token::Ident("endmacro" | "endcall") if begins => nested.saturating_sub(1),
            _ => nested,
        };
        if nested > MAX_NESTED_MACROS {
            return Err(format!("line {}: more than {MAX_NESTED_MACROS} macros in each other", span.start_line));
        }
        begins = matches!(token, Token::BlockStart);
    }
    Ok(())
}
