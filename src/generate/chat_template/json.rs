//! Values as JSON, spelled as Python's `json.dumps` does, which is what templates were written with: a space after commas
//! and colons, no escapes but those that must be.

use super::bounded::{Budget, failed};
use minijinja::{Error, Value};
use serde_json::ser::{Formatter, Serializer};
use std::io::{self, Write};

/// The widest indentation.
const MAX_INDENT: usize = 8;
/// Lists and maps in each other, as many as serde_json reads: each takes its part of the stack.
const MAX_DEPTH: usize = 128;

/// `value` as JSON, in one line or indented by so many spaces.
pub(super) fn to_json(budget: &Budget, value: &Value, indent: Option<usize>) -> Result<Value, Error> {
    let mut text = Paid { budget, text: Vec::new() };
    let spelling = Spelling { indent: indent.map(|n| n.min(MAX_INDENT)), depth: 0, has_value: false };
    let written = serde::Serialize::serialize(value, &mut Serializer::with_formatter(&mut text, spelling));
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

/// A space after commas and colons, or so many for every level.
struct Spelling {
    indent: Option<usize>,
    depth: usize,
    /// Something was written since the last list or map began.
    has_value: bool,
}

impl Spelling {
    fn open(&mut self, writer: &mut (impl Write + ?Sized), bracket: &[u8]) -> io::Result<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(io::Error::other(format!("more than {MAX_DEPTH} lists and maps in each other are written")));
        }
        self.has_value = false;
        writer.write_all(bracket)
    }

    fn close(&mut self, writer: &mut (impl Write + ?Sized), bracket: &[u8]) -> io::Result<()> {
        self.depth = self.depth.saturating_sub(1);
        if self.has_value {
            self.begin_line(writer)?;
        }
        writer.write_all(bracket)
    }

    fn begin_value(&mut self, writer: &mut (impl Write + ?Sized), first: bool) -> io::Result<()> {
        writer.write_all(match (first, self.indent) {
            (true, _) => b"",
            (false, None) => b", ",
            (false, Some(_)) => b",",
        })?;
        self.begin_line(writer)
    }

    fn begin_line(&self, writer: &mut (impl Write + ?Sized)) -> io::Result<()> {
        self.indent.map_or(Ok(()), |n| writer.write_all(format!("\n{}", " ".repeat(n * self.depth)).as_bytes()))
    }
}

impl Formatter for Spelling {
    fn begin_array<W: Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.open(writer, b"[")
    }

    fn end_array<W: Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.close(writer, b"]")
    }

    fn begin_array_value<W: Write + ?Sized>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.begin_value(writer, first)
    }

    fn end_array_value<W: Write + ?Sized>(&mut self, _: &mut W) -> io::Result<()> {
        self.has_value = true;
        Ok(())
    }

    fn begin_object<W: Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.open(writer, b"{")
    }

    fn end_object<W: Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.close(writer, b"}")
    }

    fn begin_object_key<W: Write + ?Sized>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.begin_value(writer, first)
    }

    fn begin_object_value<W: Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }

    fn end_object_value<W: Write + ?Sized>(&mut self, _: &mut W) -> io::Result<()> {
        self.has_value = true;
        Ok(())
    }
}
