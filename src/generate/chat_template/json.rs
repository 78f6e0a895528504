//! Values as JSON, spelled as Python's `json.dumps` does, which is what templates were written with: a space after commas
//! and colons, no escapes but those that must be.

use super::bounded::{Budget, failed};
use minijinja::{Error, Value};
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};
use std::io::{self, Write};

/// The widest indentation.
const MAX_INDENT: usize = 8;

/// `value` as JSON, in one line or indented by so many spaces.
pub(super) fn to_json(budget: &Budget, value: &Value, indent: Option<usize>) -> Result<Value, Error> {
    let mut text = Paid { budget, text: Vec::new() };
    let written = match indent {
        None => serde::Serialize::serialize(value, &mut Serializer::with_formatter(&mut text, OneLine)),
        Some(n) => {
            let spaces = " ".repeat(n.min(MAX_INDENT));
            let formatter = PrettyFormatter::with_indent(spaces.as_bytes());
            serde::Serialize::serialize(value, &mut Serializer::with_formatter(&mut text, formatter))
        }
    };
    written.map_err(|e| failed(&e.to_string()))?;
    String::from_utf8(text.text).map(Value::from).map_err(|e| failed(&e.to_string()))
}

/// Bytes that are paid for as they are written.
struct Paid<'a> {
    budget: &'a Budget,
    text: Vec<u8>,
}

impl Write for Paid<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.budget.pay(bytes.len()).map_err(io::Error::other)?;
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct OneLine;

impl Formatter for OneLine {
    fn begin_array_value<W: Write + ?Sized>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_key<W: Write + ?Sized>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_value<W: Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}
