//! Chat templates with macros are rendered as transformers renders them, within the bounds of all others.
//!
//! The templates are our own, in the constructs of those that Qwen3-Coder and Mistral publish for tools.

use crate::generate_support::Files;
use lagdb::generate::{Chat, Message};
use lagdb::{Error, Result};
use std::time::{Duration, Instant};

fn render(template: &str) -> Result<String> {
    let talk = [("system", "Be brief."), ("user", " Hi? "), ("assistant", "Hello!"), ("user", "Bye")];
    let messages = talk.map(|(role, content)| Message { role, content });
    let generator = Files::of("llama").with_template(template).load()?;
    generator.chat(&Chat { messages: &messages, add_generation_prompt: true, ..Chat::default() })
}

/// A macro for what tools need, called where there are some, and one that writes every message.
const CODER: &str = r#"{% macro render_extra_keys(json_dict, handled_keys) %}
    {%- if json_dict is mapping %}
        {%- for json_key in json_dict if json_key not in handled_keys %}
            {%- if json_dict[json_key] is mapping or (json_dict[json_key] is sequence and json_dict[json_key] is not string) %}
                {{- '\n<' ~ json_key ~ '>' ~ (json_dict[json_key] | tojson | safe) ~ '</' ~ json_key ~ '>' }}
            {%- else %}
                {{- '\n<' ~ json_key ~ '>' ~ (json_dict[json_key] | string | safe) ~ '</' ~ json_key ~ '>' }}
            {%- endif %}
        {%- endfor %}
    {%- endif %}
{% endmacro %}
{%- macro turn(role, content='', end='<|im_end|>\n') -%}
    {{- '<|im_start|>' + role + '\n' + content | trim + end -}}
{%- endmacro %}
{%- if tools %}
    {%- for tool in tools %}{{- render_extra_keys(tool, ['type', 'function']) }}{%- endfor %}
{%- endif %}
{%- for message in messages %}
    {{- turn(message.role, content=message.content) }}
{%- endfor %}
{%- if add_generation_prompt %}{{- turn('assistant', end='') }}{%- endif %}"#;

#[test]
fn macros_write_what_they_are_given() {
    let im = |role: &str, text: &str| format!("<|im_start|>{role}\n{text}<|im_end|>\n");
    let talk = [im("system", "Be brief."), im("user", "Hi?"), im("assistant", "Hello!"), im("user", "Bye")].concat();
    assert_eq!(render(CODER).unwrap(), format!("{talk}<|im_start|>assistant\n"));
    let keys = CODER.replace("{%- if tools %}", "{{- render_extra_keys(messages[0], ['content']) }}{%- if tools %}");
    assert_eq!(render(&keys).unwrap(), format!("\n<role>system</role>{talk}<|im_start|>assistant\n"));
    let nested = "{% macro sum(n) %}{% if n > 0 %}{{ n }},{{ sum(n - 1) }}{% endif %}{% endmacro %}{{ sum(5) }}";
    assert_eq!(render(nested).unwrap(), "5,4,3,2,1,");
    let wrapped = "{% macro b() %}<{{ caller() }}>{% endmacro %}{% call b() %}{{ messages[1].content }}{% endcall %}";
    assert_eq!(render(wrapped).unwrap(), "< Hi? >");
}

/// There are no others to be read, and what a block does would not be counted.
#[test]
fn other_templates_are_not_read() {
    for template in [
        "{% include 'other' ignore missing %}",
        "{% if false %}{% include 'other' %}{% endif %}",
        "{% import 'other' as other %}",
        "{% from 'other' import macro %}",
        "{% extends 'other' %}",
        "{% block a %}{{ 'x' ~ 'y' }}{% endblock %}",
        "{% macro m() %}{% include 'other' %}{% endmacro %}",
    ] {
        let refused = render(template);
        assert!(
            matches!(&refused, Err(Error::Model { problem, .. }) if problem.contains("not read")),
            "{template}: {refused:?}"
        );
    }
}

/// A loop over what passes a condition was refused as a list that is unpacked.
#[test]
fn a_loop_may_have_a_condition() {
    let users =
        "{% for m in messages if m.role == 'user' %}{{ loop.index }}{{ m.content }}{% else %}nobody{% endfor %}";
    assert_eq!(render(users).unwrap(), "1 Hi? 2Bye");
    assert_eq!(render(&users.replace("user", "tool")).unwrap(), "nobody");
    let many = "{% set ns = namespace(a=[]) %}{% for i in range(90000) %}{% for j in range(900) if j % 2 == 0 %}{% set ns.a = [ns.a] %}{% endfor %}{% endfor %}";
    assert!(render(many).is_err());
    let unpacked = "{% set a = [1, 2] %}{{ [*a, 3] | length }}";
    assert!(render(unpacked).is_err());
}

/// Each of these asks a macro for more than there is: steps, memory, or stack.
#[test]
fn what_macros_take_is_bounded() {
    let nested = "{% macro a() %}".repeat(3000) + &"{% endmacro %}".repeat(3000);
    let wide = |n: usize| {
        let names: Vec<String> = (0..n).map(|i| format!("a{i}")).collect();
        format!("{{% macro m({}) %}}x{{% endmacro %}}{{{{ m() }}}}", names.join(", "))
    };
    assert_eq!(render(&wide(32)).unwrap(), "x");
    for template in [
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% macro f(x) %}{{ f(x ~ x) }}{% endmacro %}{{ f('x') }}",
        "{% macro f(n) %}{% for i in range(99) %}{% if n > 0 %}{{ f(n - 1) }}{% endif %}{% endfor %}{% endmacro %}{{ f(9) }}",
        "{% macro f(x) %}{{ x }}{{ x }}{% endmacro %}{% set ns = namespace(a='x') %}{% for i in range(99) %}{% set ns.a = f(ns.a) %}{% endfor %}",
        "{% macro f(x) %}{{ x }}{% endmacro %}{% set ns = namespace(a=[]) %}{% for i in range(90000) %}{% set ns.a = [ns.a, f] %}{% endfor %}",
        "{% macro f(x=('x') * 100000000) %}{{ x }}{% endmacro %}{{ f() }}",
        "{% macro f() %}{% for i in range(90000) %}{% macro g() %}{{ i }}{% endmacro %}{{ g() }}{% endfor %}{% endmacro %}{{ f() }}",
        &wide(33),
        &nested,
    ] {
        let start = Instant::now();
        let rendered = render(template).map(|text| text.len());
        let shown = &template[..template.len().min(120)];
        assert!(start.elapsed() < Duration::from_secs(5), "{shown}: {:?}", start.elapsed());
        let is_refused =
            matches!(&rendered, Err(Error::Model { problem, .. }) if problem.starts_with("chat template: "));
        // Nesting is a matter of stack alone; it may as well be rendered.
        assert!(is_refused || template == nested && rendered.is_ok(), "{shown}: {rendered:?}");
    }
}
