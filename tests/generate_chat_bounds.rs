//! What a chat template cannot do: hold itself, or let things be compared, written or looked through without end.
//!
//! Each refusal is told by its words, so that nothing here passes because something else went wrong or took long.

use crate::generate_support::Files;
use lagdb::generate::{Chat, Generator, Message};
use lagdb::{Error, Result};

fn loaded(template: &str) -> Generator {
    Files::of("llama").with_template(template).load().unwrap()
}

/// Rendered for so many messages, each of which allows more steps.
fn render_for(n_messages: usize, template: &str) -> Result<String> {
    let messages = vec![Message { role: "user", content: "Hi" }; n_messages];
    loaded(template).chat(&Chat { messages: &messages, ..Chat::default() })
}

fn rendered(template: &str) -> String {
    render_for(2, template).unwrap()
}

fn is_refused(n_messages: usize, template: &str, why: &str) {
    let shown = &template[..template.len().min(120)];
    match render_for(n_messages, template).map(|text| text.len()) {
        Err(Error::Model { problem, .. }) => assert!(problem.contains(why), "{shown}: {problem}"),
        other => panic!("{shown}: {other:?}"),
    }
}

/// A value of lists that are the same one twice, forty times: 2^40 parts.
fn doubled(name: &str) -> String {
    format!("{{% set {name} = ['x'] %}}{}", format!("{{% set {name} = [{name}, {name}] %}}").repeat(40))
}

/// `{% set ns.a = ns %}` made a value without end: `tojson` followed it until the stack was gone, which ends the process, and
/// what held itself was never dropped.
#[test]
fn nothing_holds_itself() {
    for made in [
        "{% set ns.a = ns %}",
        "{% set ns.a = [ns] %}",
        "{% set ns.a = (1, ns) %}",
        "{% set ns.a = {'b': ns} %}",
        "{% set ns.a = ns or 1 %}",
        "{% set ns.b = 1 %}{% set ns.a = ns if true else 2 %}",
        "{% set ns.a = namespace(b=ns) %}",
        "{% set two = namespace(b=ns) %}{% set ns.a = two %}",
        "{% macro f(x) %}{% set x.a = x %}{% endmacro %}{{ f(ns) }}",
        "{% for i in [1, 2] %}{% set ns.a = loop %}{% endfor %}",
        "{% for k in ns.keys() %}{% set ns.a = [loop] %}{% endfor %}",
        "{% for i in [1] %}{{ loop.cycle(x=ns).values() | tojson }}{% endfor %}",
    ] {
        for written in ["", "{{ ns | tojson }}", "{{ ns | tojson(indent=2) }}"] {
            let template = format!("{{% set ns = namespace(z=0) %}}{made}{written}");
            is_refused(2, &template, "a namespace or a loop is held by another value");
        }
    }
    // Arguments by name are a value of their own where a loop gives them back.
    let arguments = "{% set ns = namespace() %}{% for i in [1] %}{% set ns.a = loop.cycle(x=ns) %}{% endfor %}";
    is_refused(2, arguments, "keyword arguments");
    // What a namespace has is given as it was then.
    let then =
        "{% set ns = namespace(a=1) %}{% set ns.b = ns.items() %}{% set ns.c = ns | items | last %}{{ ns | tojson }}";
    assert_eq!(rendered(then), r#"{"a": 1, "b": [["a", 1]], "c": ["b", [["a", 1]]]}"#);
}

/// The look at what a namespace is given stands between the others, and who jumps past or to it arrives.
#[test]
fn a_namespace_is_given_what_others_are() {
    let template = "{% set ns = namespace(n=0, last='') %}\
        {% for m in messages if m.role == 'user' %}{% if loop.first %}{% set ns.first = m.content or 'none' %}{% else %}\
        {% set ns.n = ns.n + 1 if m.content else ns.n %}{% endif %}{% set ns.last = ns.missing or m.role and m.content %}\
        {% else %}{% set ns.n = -1 %}{% endfor %}\
        {% macro add(to, n) %}{% set to.n = to.n + n %}{% if n > 1 %}{{ add(to, n - 1) }}{% endif %}{% endmacro %}\
        {{- add(ns, 3) }}{% set ns.block %}<{{ ns.n }}>{% endset %}{{ ns.block ~ ns.first ~ ns.last }}";
    assert_eq!(render_for(3, template).unwrap(), "<8>HiHi");
    assert_eq!(render_for(0, template).unwrap(), "<5>");
}

/// Lists in each other are made by the thousand and dropped again; what writes them follows them some way only.
#[test]
fn deep_lists_are_dropped_and_not_written() {
    let deep = |n: usize, list: &str| {
        format!("{{% set ns = namespace(a=[]) %}}{{% for i in range({n}) %}}{{% set ns.a = {list} %}}{{% endfor %}}")
    };
    for list in ["[[[[ns.a]]]]", "{'a': {'a': {'a': {'a': ns.a}}}}", "[{'a': [(1, ns.a)]}]"] {
        assert_eq!(rendered(&deep(2_400, list)), "", "{list}");
        for written in ["{{ ns.a | tojson }}", "{{ ns.a | tojson(indent=1) }}"] {
            is_refused(2, &(deep(33, list) + written), "lists and maps in each other are written");
        }
    }
    let some = "[".repeat(128) + &"]".repeat(128);
    assert_eq!(rendered(&(deep(127, "[ns.a]") + "{{ ns.a | tojson }}")), some);
    is_refused(
        2,
        &(deep(128, "[ns.a]") + "{{ ns.a | tojson }}"),
        "more than 128 lists and maps in each other are written",
    );
    let lines = "{{ {'a': [1, [], {}], 'b': {'c': 'd'}} | tojson(indent=2) }}";
    let expected = "{\n  \"a\": [\n    1,\n    [],\n    {}\n  ],\n  \"b\": {\n    \"c\": \"d\"\n  }\n}";
    assert_eq!(rendered(lines), expected);
    // Pairs were not counted, and a long conversation allows enough steps to nest them past every stack.
    let pairs = "{% set ns = namespace(a=1) %}{% for i in range(900) %}{% for j in range(900) %}\
        {% set ns.a = ns | items | first %}{% endfor %}{% endfor %}";
    is_refused(3_000, pairs, "too many lists");
}

/// `loop.changed` compared whatever it was given: two lists that share their parts kept it busy for hours. A key to select by was
/// hashed and a name to map by written, part by part as well.
#[test]
fn nothing_with_parts_is_compared_hashed_or_written_on_the_way() {
    let two = doubled("a") + &doubled("b");
    for (asks, why) in [
        ("{% for i in [a, b] %}{{ loop.changed(i) }}{% endfor %}", "is compared"),
        ("{% for i in [a, b] %}{% set l = loop %}{{ l.changed(1, i) }}{% endfor %}", "is compared"),
        ("{{ [{'x': 1}] | selectattr(a) | list | length }}", "is compared or looked for"),
        (
            "{{ [{'x': 1}] | rejectattr('x', 'in', a) | list | length }}{{ messages | selectattr('x', 'eq', a) | list | length }}{{ a == b }}",
            "is compared",
        ),
        ("{{ [{'x': 1}] | map(attribute=a) | list | length }}", "is written by tojson only"),
    ] {
        is_refused(2, &format!("{two}{asks}"), why);
    }
    is_refused(2, "{% for i in [1] %}{{ loop.cycle() }}{% endfor %}", "a cycle of nothing");
    let simple = "{% for i in [1, 1, 2] %}{{ loop.changed(i) }}{{ loop.cycle('a', 'b') }}{% endfor %}";
    assert_eq!(rendered(simple), "TrueaFalsebTruea");
    let by_name =
        "{{ messages | map(attribute='role') | join(',') }}{{ messages | selectattr('role') | list | length }}";
    assert_eq!(rendered(by_name), "user,user2");
}

/// Looking through a hundred thousand items was one step.
#[test]
fn lists_are_paid_for_as_they_are_looked_through() {
    let empty = format!("{{% set e = '{}'.split('x') %}}", "x".repeat(30_000));
    for (made, asks) in [
        ("{% set r = range(99999) %}", "{{ r | last }}"),
        ("{% set r = range(99999) %}", "{{ 'x' in r }}"),
        ("{% set r = range(99999) %}", "{{ 'x' is in(r) }}"),
        (&empty, "{{ e | join }}"),
    ] {
        let template = format!("{made}{{% for i in range(90000) %}}{asks}{{% endfor %}}");
        is_refused(2, &template, "makes too much text");
    }
    assert_eq!(
        rendered("{{ range(3) | last }}{{ [4, 5] | last }}{{ 'ab' | last }}{{ [] | last }}{{ 2 in range(3) }}"),
        "25bTrue"
    );
}

/// The names that a macro takes from around it are looked for before anything is counted, for each macro in all that are in it: 148
/// in each other and thirty thousand names took seconds for every rendering.
#[test]
fn macros_nest_a_little() {
    let nested = |n: usize, inside: &str| {
        let opened: String = (0..n).map(|i| format!("{{% macro m{i}() %}}")).collect();
        format!("{opened}{inside}{}", "{% endmacro %}".repeat(n))
    };
    assert_eq!(rendered(&nested(4, "x")), "");
    for inside in ["x".to_owned(), format!("x{{{{[{}a]}}}}x", "a,".repeat(500)).repeat(50)] {
        for n in [5, 148] {
            is_refused(2, &nested(n, &inside), "more than 4 macros in each other");
        }
    }
    let calls = "{% call f() %}".repeat(5) + &"{% endcall %}".repeat(5);
    is_refused(2, &calls, "more than 4 macros in each other");
    // One after the other, and words that are no macros.
    let many =
        "{% macro f() %}{{ caller() }}{% endmacro %}{% call f() %}a{% endcall %}{% set macro = 'b' %}{{ macro }}"
            .repeat(9);
    assert_eq!(rendered(&many), "ab".repeat(9));
}
