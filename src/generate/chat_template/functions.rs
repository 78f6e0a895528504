//! What a chat template may call: the operators, filters, tests and methods that published templates use, each paying for
//! what it makes.
//!
//! Operators are named by signs, which no template can write as a name. Strings have Python's methods. `strftime_now` is
//! there where the caller gave a date.

use super::Date;
use super::bounded::{Budget, failed};
use super::json::to_json;
use super::values::{Result, elements, entries, equal, held, is_in, is_simple, join, last, simple, slice, text};
use minijinja::value::{Kwargs, Rest, ValueKind};
use minijinja::{Environment, Error, State, Value, filters, functions, tests};
use minijinja_contrib::pycompat::unknown_method_callback;

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
pub(super) const HELD: &str = ".=";
pub(super) const CHANGED: &str = "changed()";
pub(super) const NOW: &str = "strftime_now";

/// Python's methods that make no more than a few times what they are given.
const METHODS: [&str; 19] = [
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
    "lower",
    "lstrip",
    "rfind",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
];

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
    add_tests(environment, budget);
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
            ("keys" | "values" | "items", None, []) => entries(&budget, value, name),
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
    let paid = of(budget);
    environment.add_function(IN, move |state: &State, part: Value, whole: Value| is_in(&paid, state, &part, &whole));
    let paid = of(budget);
    environment.add_function(LIST, move |items: Rest<Value>| {
        paid.pay_container(items.len())?;
        items.iter().try_for_each(|item| held(item).map(drop))?;
        Ok::<_, Error>(Value::from(items.to_vec()))
    });
    let paid = of(budget);
    environment.add_function(MAP, move |items: Rest<Value>| {
        paid.pay_container(items.len())?;
        let pairs = items.as_chunks::<2>().0.iter();
        let pairs =
            pairs.map(|[key, value]| Ok((simple(key)?.clone(), held(value)?.clone()))).collect::<Result<Vec<_>>>()?;
        Ok::<_, Error>(Value::from_pairs(pairs))
    });
    let paid = of(budget);
    environment.add_function("namespace", move |values: Kwargs| {
        paid.pay_container(values.args().count())?;
        let pairs = values
            .args()
            .map(|name| Ok((name, held(&values.get::<Value>(name)?)?.clone())))
            .collect::<Result<Vec<_>>>()?;
        let values = Value::from_pairs(pairs);
        let (values,) = minijinja::value::from_args(&[values])?;
        functions::namespace(values)
    });
    environment.add_function(HELD, |value: Value| held(&value).cloned());
    // A loop remembers what it was given and compares it with what it is given next.
    environment.add_function(CHANGED, |state: &mut State, of: Value, values: Rest<Value>| {
        values.iter().try_for_each(|value| simple(value).map(drop))?;
        of.call_method(state, "changed", &values)
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
        let name: Value = options.get("attribute")?;
        let name = text(&name)?;
        let parts = elements(&paid, &whole)?.iter().map(|part| part.get_attr(&name)).collect::<Result<Vec<_>>>()?;
        Ok::<_, Error>(Value::from(parts))
    });
    // Nothing is escaped.
    environment.add_filter("safe", |value: Value| value);
    environment.add_filter("length", filters::length);
    environment.add_filter("count", filters::length);
    environment.add_filter("first", filters::first);
    let paid = budget.clone();
    environment.add_filter("last", move |whole: Value| last(&paid, &whole));
    environment.add_filter("default", filters::default);
    environment.add_filter("d", filters::default);
    environment.add_filter("int", filters::int);
    let paid = budget.clone();
    environment.add_filter("items", move |map: Value| entries(&paid, &map, "items"));
}

fn add_tests(environment: &mut Environment<'_>, budget: &Budget) {
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
    let paid = budget.clone();
    environment.add_test("in", move |state: &State, part: Value, whole: Value| is_in(&paid, state, &part, &whole));
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
        let attribute = item.get_item(simple(key)?)?;
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

fn replace(budget: &Budget, whole: &str, from: &str, to: &str) -> Result<Value> {
    budget.pay(whole.len())?;
    budget.pay(whole.matches(from).count().saturating_mul(to.len()))?;
    Ok(Value::from(whole.replace(from, to)))
}
