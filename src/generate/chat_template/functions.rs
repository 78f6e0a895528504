//! What a chat template may call: the operators, filters, tests and methods that published templates use, each paying for
//! what it makes.
//!
//! Operators are named by signs, which no template can write as a name. Strings have Python's methods. `strftime_now` is
//! there where the caller gave a date.

use super::Date;
use super::bounded::{Budget, failed};
use super::json::to_json;
use minijinja::value::{Kwargs, Rest, ValueKind};
use minijinja::{Environment, Error, State, Value, filters, functions, tests};
use minijinja_contrib::pycompat::unknown_method_callback;
use std::borrow::Cow;

pub(super) const ADD: &str = "+";
pub(super) const MULTIPLY: &str = "*";
pub(super) const CONCATENATE: &str = "~";
pub(super) const SLICE: &str = "[:]";
pub(super) const ITEM: &str = "[.]";
pub(super) const EQUAL: &str = "==";
pub(super) const UNEQUAL: &str = "!=";
pub(super) const LESS: &str = "<";
pub(super) const AT_MOST: &str = "<=";
pub(super) const MORE: &str = ">";
pub(super) const AT_LEAST: &str = ">=";
pub(super) const IN: &str = "in ";
pub(super) const LIST: &str = "[]";
pub(super) const MAP: &str = "{}";
pub(super) const NOW: &str = "strftime_now";

/// Python's methods that make no more than a few times what they are given.
const METHODS: [&str; 22] = [
    "capitalize",
    "count",
    "endswith",
    "find",
    "get",
    "isalnum",
    "isalpha",
    "isascii",
    "isdigit",
    "islower",
    "isupper",
    "items",
    "keys",
    "lower",
    "lstrip",
    "rfind",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "values",
];

type Result<T> = std::result::Result<T, Error>;

/// Gives `environment` all of it, paid for from `budget`.
pub(super) fn add_to(environment: &mut Environment<'_>, budget: &Budget, date: Option<Date>) {
    if let Some(date) = date {
        let paid = budget.clone();
        environment.add_function(NOW, move |format: Value| {
            let format = text(&format)?;
            // A sign of the format is at most a month.
            paid.pay(9 * format.len())?;
            date.format(&format)
                .ok_or_else(|| failed(&format!("the date format {format:.40} asks for more than a day")))
        });
    }
    operators(environment, budget);
    add_filters(environment, budget);
    add_tests(environment);
    let budget = budget.clone();
    let writer = budget.clone();
    environment.set_formatter(move |out, _, value| {
        let text = text(value)?;
        writer.pay(text.len())?;
        out.write_str(&text).map_err(Error::from)
    });
    environment.set_unknown_method_callback(move |state, value, name, arguments| {
        let size = |value: &Value| value.as_str().map_or_else(|| value.len().unwrap_or(0), str::len);
        let n: usize = std::iter::once(value).chain(arguments).map(size).sum();
        match (name, value.as_str(), arguments) {
            ("replace", Some(whole), [from, to]) => replace(&budget, whole, &text(from)?, &text(to)?),
            ("join", Some(between), [parts]) => join(&budget, parts, between),
            ("upper" | "title", Some(_), []) => {
                budget.pay(3 * n)?;
                unknown_method_callback(state, value, name, arguments)
            }
            // Looking for a list in a list compares all they hold; the second of `get` is only given back.
            _ if METHODS.contains(&name) && arguments.first().is_none_or(is_simple) => {
                // A string that is split is a list of at most as many parts as it has bytes.
                budget.pay_container(n)?;
                unknown_method_callback(state, value, name, arguments)
            }
            _ => Err(failed(&format!("the method {name:.40} of {} is not known", value.kind()))),
        }
    });
}

fn operators(environment: &mut Environment<'_>, budget: &Budget) {
    let of = |budget: &Budget| budget.clone();
    let paid = of(budget);
    environment.add_function(ADD, move |left: Value, right: Value| add(&paid, &left, &right));
    environment
        .add_function(MULTIPLY, |left: Value, right: Value| numeric(&left, &right, i64::checked_mul, |a, b| a * b));
    let paid = of(budget);
    environment
        .add_function(CONCATENATE, move |left: Value, right: Value| concatenate(&paid, &text(&left)?, &text(&right)?));
    let paid = of(budget);
    environment.add_function(SLICE, move |whole: Value, start: Value, stop: Value, step: Value| {
        slice(&paid, &whole, [&start, &stop, &step])
    });
    environment.add_function(ITEM, |whole: Value, key: Value| simple(&key).and_then(|key| whole.get_item(key)));
    environment.add_function(EQUAL, |left: Value, right: Value| equal(&left, &right));
    environment.add_function(UNEQUAL, |left: Value, right: Value| equal(&left, &right).map(|equal| !equal));
    environment.add_function(LESS, |left: Value, right: Value| Ok::<_, Error>(simple(&left)? < simple(&right)?));
    environment.add_function(AT_MOST, |left: Value, right: Value| Ok::<_, Error>(simple(&left)? <= simple(&right)?));
    environment.add_function(MORE, |left: Value, right: Value| Ok::<_, Error>(simple(&left)? > simple(&right)?));
    environment.add_function(AT_LEAST, |left: Value, right: Value| Ok::<_, Error>(simple(&left)? >= simple(&right)?));
    environment
        .add_function(IN, |state: &State, part: Value, whole: Value| tests::is_in(state, simple(&part)?, &whole));
    let paid = of(budget);
    environment.add_function(LIST, move |items: Rest<Value>| {
        paid.pay_container(items.len())?;
        Ok::<_, Error>(Value::from(items.to_vec()))
    });
    let paid = of(budget);
    environment.add_function(MAP, move |items: Rest<Value>| {
        paid.pay_container(items.len())?;
        let pairs = items.as_chunks::<2>().0.iter();
        let pairs = pairs.map(|[key, value]| Ok((simple(key)?.clone(), value.clone()))).collect::<Result<Vec<_>>>()?;
        Ok::<_, Error>(Value::from_pairs(pairs))
    });
    let paid = of(budget);
    environment.add_function("namespace", move |values: Kwargs| {
        paid.pay_container(values.args().count())?;
        let pairs = values.args().map(|name| Ok((name, values.get::<Value>(name)?))).collect::<Result<Vec<_>>>()?;
        let values = Value::from_pairs(pairs);
        let (values,) = minijinja::value::from_args(&[values])?;
        functions::namespace(values)
    });
    let paid = of(budget);
    environment.add_function("raise_exception", move |message: Value| {
        Err::<Value, _>(paid.raise(text(&message)?.chars().take(500).collect()))
    });
    environment.add_function("range", functions::range);
}

fn add_filters(environment: &mut Environment<'_>, budget: &Budget) {
    let of = |f: fn(&str) -> String| {
        let budget = budget.clone();
        move |whole: Value| {
            let whole = text(&whole)?;
            budget.pay(3 * whole.len())?;
            Ok::<_, Error>(f(&whole))
        }
    };
    environment.add_filter("trim", of(|text| text.trim().to_owned()));
    environment.add_filter("upper", of(str::to_uppercase));
    environment.add_filter("lower", of(str::to_lowercase));
    environment.add_filter("string", of(str::to_owned));
    let paid = budget.clone();
    environment.add_filter("replace", move |whole: Value, from: Value, to: Value| {
        replace(&paid, &text(&whole)?, &text(&from)?, &text(&to)?)
    });
    let paid = budget.clone();
    environment.add_filter("join", move |parts: Value, between: Option<Value>| {
        let between = between.as_ref().map(text).transpose()?.unwrap_or_default();
        join(&paid, &parts, &between)
    });
    let paid = budget.clone();
    environment.add_filter("list", move |whole: Value| elements(&paid, &whole).map(Value::from));
    let paid = budget.clone();
    environment.add_filter("tojson", move |value: Value, indent: Option<usize>, options: Kwargs| {
        let indent = indent.or(options.get::<Option<usize>>("indent")?);
        to_json(&paid, &value, indent)
    });
    for name in ["selectattr", "rejectattr"] {
        let paid = budget.clone();
        environment.add_filter(name, move |state: &mut State, whole: Value, rest: Rest<Value>| {
            let whole = Value::from(elements(&paid, &whole)?);
            let mut arguments = rest.to_vec();
            let key = if arguments.is_empty() { Value::UNDEFINED } else { arguments.remove(0) };
            select(state, &whole, &key, &arguments, name == "selectattr")
        });
    }
    let paid = budget.clone();
    environment.add_filter("map", move |whole: Value, options: Kwargs| {
        let name: String = options.get("attribute")?;
        let parts = elements(&paid, &whole)?.iter().map(|part| part.get_attr(&name)).collect::<Result<Vec<_>>>()?;
        Ok::<_, Error>(Value::from(parts))
    });
    // Nothing is escaped.
    environment.add_filter("safe", |value: Value| value);
    environment.add_filter("length", filters::length);
    environment.add_filter("count", filters::length);
    environment.add_filter("first", filters::first);
    environment.add_filter("last", filters::last);
    environment.add_filter("default", filters::default);
    environment.add_filter("d", filters::default);
    environment.add_filter("int", filters::int);
    environment.add_filter("items", filters::items);
}

fn add_tests(environment: &mut Environment<'_>) {
    environment.add_test("defined", tests::is_defined);
    environment.add_test("undefined", tests::is_undefined);
    environment.add_test("none", tests::is_none);
    environment.add_test("string", tests::is_string);
    environment.add_test("mapping", tests::is_mapping);
    environment.add_test("iterable", tests::is_iterable);
    environment.add_test("sequence", tests::is_sequence);
    environment.add_test("number", tests::is_number);
    environment.add_test("integer", tests::is_integer);
    environment.add_test("float", tests::is_float);
    environment.add_test("boolean", tests::is_boolean);
    environment.add_test("true", tests::is_true);
    environment.add_test("false", tests::is_false);
    environment.add_test("odd", tests::is_odd);
    environment.add_test("even", tests::is_even);
    environment.add_test("in", |state: &State, part: Value, whole: Value| tests::is_in(state, simple(&part)?, &whole));
    for name in ["eq", "equalto", "=="] {
        environment.add_test(name, |left: Value, right: Value| equal(&left, &right));
    }
    for name in ["ne", "!="] {
        environment.add_test(name, |left: Value, right: Value| equal(&left, &right).map(|equal| !equal));
    }
}

/// Those of `whole` whose attribute `key` is (or is not) true, or passes the test that the first of `arguments` names.
fn select(state: &mut State, whole: &Value, key: &Value, arguments: &[Value], wanted: bool) -> Result<Value> {
    let mut selected = Vec::new();
    for item in whole.try_iter()? {
        let attribute = item.get_item(key)?;
        let passes = match arguments {
            [] => attribute.is_true(),
            [test, rest @ ..] => {
                let arguments: Vec<Value> = std::iter::once(attribute).chain(rest.iter().cloned()).collect();
                state.perform_test(&text(test)?, &arguments)?
            }
        };
        if passes == wanted {
            selected.push(item);
        }
    }
    Ok(Value::from(selected))
}

/// Whether a value has no parts.
fn is_simple(value: &Value) -> bool {
    use ValueKind::{Bool, None, Number, String, Undefined};
    matches!(value.kind(), Undefined | None | Bool | Number | String)
}

/// A value without parts. Lists that hold one list twice, which holds one twice, and so on, have more parts than bytes.
fn simple(value: &Value) -> Result<&Value> {
    match is_simple(value) {
        true => Ok(value),
        false => Err(failed(&format!("a {} is compared or looked for", value.kind()))),
    }
}

/// Whether two values are equal, where that can be told without comparing parts.
fn equal(left: &Value, right: &Value) -> Result<bool> {
    match (is_simple(left), is_simple(right)) {
        (true, true) => Ok(left == right),
        (false, false) if left.kind() == right.kind() && left.len() == right.len() && left.len() != Some(0) => {
            Err(failed(&format!("a {} is compared", left.kind())))
        }
        (false, false) => Ok(left.kind() == right.kind() && left.len() == right.len()),
        _ => Ok(false),
    }
}

/// A value as Python writes it; lists and maps are written by `tojson` alone.
fn text(value: &Value) -> Result<Cow<'_, str>> {
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

fn concatenate(budget: &Budget, left: &str, right: &str) -> Result<Value> {
    budget.pay(left.len() + right.len())?;
    Ok(Value::from([left, right].concat()))
}

fn add(budget: &Budget, left: &Value, right: &Value) -> Result<Value> {
    if let (Some(left), Some(right)) = (left.as_str(), right.as_str()) {
        return concatenate(budget, left, right);
    }
    if [left, right].iter().all(|part| matches!(part.kind(), ValueKind::Seq | ValueKind::Iterable)) {
        let mut parts = elements(budget, left)?;
        parts.extend(elements(budget, right)?);
        return Ok(Value::from(parts));
    }
    numeric(left, right, i64::checked_add, |a, b| a + b)
}

fn numeric(
    left: &Value,
    right: &Value,
    whole: fn(i64, i64) -> Option<i64>,
    real: fn(f64, f64) -> f64,
) -> Result<Value> {
    let unlike = || failed(&format!("{} and {} are not added or multiplied", left.kind(), right.kind()));
    if left.kind() != ValueKind::Number || right.kind() != ValueKind::Number {
        return Err(unlike());
    }
    match (i64::try_from(left.clone()), i64::try_from(right.clone())) {
        (Ok(a), Ok(b)) if left.is_integer() && right.is_integer() => {
            whole(a, b).map(Value::from).ok_or_else(|| failed("a number is too large"))
        }
        _ => {
            let number = |value: &Value| f64::try_from(value.clone()).map_err(|_| unlike());
            Ok(Value::from(real(number(left)?, number(right)?)))
        }
    }
}

/// The items of a list, or the characters of a string.
fn elements(budget: &Budget, whole: &Value) -> Result<Vec<Value>> {
    budget.pay_container(whole.as_str().map_or_else(|| whole.len().unwrap_or(0), str::len))?;
    let mut elements = Vec::new();
    for element in whole.try_iter()? {
        // What does not say its length is paid for as it comes.
        budget.pay(size_of::<Value>())?;
        elements.push(element);
    }
    Ok(elements)
}

fn join(budget: &Budget, parts: &Value, between: &str) -> Result<Value> {
    let mut joined = String::new();
    for (i, part) in parts.try_iter()?.enumerate() {
        let part = text(&part)?;
        budget.pay(part.len() + between.len())?;
        joined.push_str(if i > 0 { between } else { "" });
        joined.push_str(&part);
    }
    Ok(Value::from(joined))
}

fn replace(budget: &Budget, whole: &str, from: &str, to: &str) -> Result<Value> {
    budget.pay(whole.len())?;
    budget.pay(whole.matches(from).count().saturating_mul(to.len()))?;
    Ok(Value::from(whole.replace(from, to)))
}

/// Python's `whole[start:stop:step]`.
fn slice(budget: &Budget, whole: &Value, [start, stop, step]: [&Value; 3]) -> Result<Value> {
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
