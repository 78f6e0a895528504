//! Values as a template looks into them: what has no parts, what others may hold, how one is written, and lists, maps and
//! strings taken apart, each part paid for.

use super::bounded::{Budget, failed};
use minijinja::value::ValueKind;
use minijinja::{Error, State, Value, filters, tests};
use std::borrow::Cow;

pub(super) type Result<T> = std::result::Result<T, Error>;

/// Whether a value has no parts.
pub(super) fn is_simple(value: &Value) -> bool {
    use ValueKind::{Bool, None, Number, String, Undefined};
    matches!(value.kind(), Undefined | None | Bool | Number | String)
}

/// A value without parts. Lists that hold one list twice, which holds one twice, and so on, have more parts than bytes.
pub(super) fn simple(value: &Value) -> Result<&Value> {
    match is_simple(value) {
        true => Ok(value),
        false => Err(failed(&format!("a {} is compared or looked for", value.kind()))),
    }
}

/// Whether two values are equal, where that can be told without comparing parts.
pub(super) fn equal(left: &Value, right: &Value) -> Result<bool> {
    match (is_simple(left), is_simple(right)) {
        (true, true) => Ok(left == right),
        (false, false) if left.kind() == right.kind() && left.len() == right.len() && left.len() != Some(0) => {
            Err(failed(&format!("a {} is compared", left.kind())))
        }
        (false, false) => Ok(left.kind() == right.kind() && left.len() == right.len()),
        _ => Ok(false),
    }
}

/// A value that lists, maps and namespaces may hold: no namespace, whose values can be set, and no loop, which holds what is
/// left of its list. So nothing holds itself, which would have no end for who follows it and never be dropped.
pub(super) fn held(value: &Value) -> Result<&Value> {
    let object = value.as_object().map_or("", |object| object.type_name());
    match object.rsplit("::").next() {
        Some("Namespace" | "Loop") => Err(failed("a namespace or a loop is held by another value")),
        _ => Ok(value),
    }
}

/// A value as Python writes it; lists and maps are written by `tojson` alone.
pub(super) fn text(value: &Value) -> Result<Cow<'_, str>> {
    if let Some(text) = value.as_str() {
        return Ok(Cow::Borrowed(text));
    }
    Ok(Cow::Owned(match value.kind() {
        ValueKind::Undefined => String::new(),
        ValueKind::None => "None".to_owned(),
        ValueKind::Bool => if value.is_true() { "True" } else { "False" }.to_owned(),
        ValueKind::Number => value.to_string(),
        kind => return Err(failed(&format!("a {kind} is written by tojson only"))),
    }))
}

/// The items of a list, or the characters of a string.
pub(super) fn elements(budget: &Budget, whole: &Value) -> Result<Vec<Value>> {
    budget.pay_container(whole.as_str().map_or_else(|| whole.len().unwrap_or(0), str::len))?;
    let mut elements = Vec::new();
    for element in whole.try_iter()? {
        // What does not say its length is paid for as it comes.
        budget.pay(size_of::<Value>())?;
        elements.push(element);
    }
    Ok(elements)
}

pub(super) fn join(budget: &Budget, parts: &Value, between: &str) -> Result<Value> {
    let mut joined = String::new();
    for (i, part) in parts.try_iter()?.enumerate() {
        let part = text(&part)?;
        // A part without text is looked at as well.
        budget.pay(part.len() + between.len() + 1)?;
        joined.push_str(if i > 0 { between } else { "" });
        joined.push_str(&part);
    }
    Ok(Value::from(joined))
}

/// The `keys`, the `values` or the `items`, which are both, of a map as they are now: what looked into a namespace later
/// would hold it.
pub(super) fn entries(budget: &Budget, map: &Value, what: &str) -> Result<Value> {
    let pairs = map.as_object().filter(|_| map.kind() == ValueKind::Map).and_then(|map| map.try_iter_pairs());
    let pairs = pairs.ok_or_else(|| failed(&format!("a {} has no {what}", map.kind())))?;
    budget.pay_container(map.len().unwrap_or(0))?;
    let mut entries = Vec::new();
    for (key, value) in pairs {
        held(&value)?;
        entries.push(match what {
            "keys" => key,
            "values" => value,
            _ => {
                budget.pay_container(2)?;
                Value::from(vec![key, value])
            }
        });
    }
    Ok(Value::from(entries))
}

/// The last item of a list, or the last character of a string.
pub(super) fn last(budget: &Budget, whole: &Value) -> Result<Value> {
    match whole.kind() {
        ValueKind::Seq => {
            let at = whole.len().and_then(|n| n.checked_sub(1));
            at.map_or(Ok(Value::UNDEFINED), |at| whole.get_item(&Value::from(at)))
        }
        ValueKind::Iterable => Ok(elements(budget, whole)?.pop().unwrap_or_default()),
        _ => filters::last(whole.clone()),
    }
}

/// Whether a value without parts is in a list, whose items are all looked at, in a map or in a string.
pub(super) fn is_in(budget: &Budget, state: &State, part: &Value, whole: &Value) -> Result<bool> {
    if matches!(whole.kind(), ValueKind::Seq | ValueKind::Iterable) {
        budget.pay(whole.len().unwrap_or(0))?;
    }
    tests::is_in(state, simple(part)?, whole)
}

/// Python's `whole[start:stop:step]`.
pub(super) fn slice(budget: &Budget, whole: &Value, [start, stop, step]: [&Value; 3]) -> Result<Value> {
    let number = |value: &Value| match value.kind() {
        ValueKind::None => Ok(None),
        _ => i64::try_from(value.clone()).map(Some),
    };
    let (step, parts) = (number(step)?.unwrap_or(1), elements(budget, whole)?);
    if step == 0 {
        return Err(failed("a slice with steps of 0"));
    }
    let n = parts.len() as i64;
    let (least, most) = if step > 0 { (0, n) } else { (-1, n - 1) };
    let end = |value: &Value, otherwise: i64| -> Result<i64> {
        Ok(number(value)?.map_or(otherwise, |at| if at < 0 { at.saturating_add(n) } else { at }.clamp(least, most)))
    };
    let (first, last) = if step > 0 { (0, n) } else { (n - 1, -1) };
    let (mut at, stop) = (end(start, first)?, end(stop, last)?);
    let mut taken = Vec::new();
    while if step > 0 { at < stop } else { at > stop } {
        taken.extend(usize::try_from(at).ok().and_then(|at| parts.get(at)).cloned());
        at = at.saturating_add(step);
    }
    match whole.as_str() {
        Some(_) => join(budget, &Value::from(taken), ""),
        None => Ok(Value::from(taken)),
    }
}
