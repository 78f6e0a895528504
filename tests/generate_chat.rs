//! A chat template is rendered as transformers renders it, within bounds; a conversation writes what is new of it.
//!
//! The templates are our own, in the constructs of those that Llama 3, Llama 3.1, Qwen2.5, Qwen3, SmolLM2 and Mistral publish.

use crate::generate_support::gguf::Converted;
use crate::generate_support::*;
use candle_core::quantized::GgmlDType;
use candle_core::quantized::gguf_file::Value;
use lagdb::Error;
use lagdb::agent::{ChatModel, Conversation, ConversationOptions, Decoding, LanguageModel};
use lagdb::format::{ElementType, KvRead};
use lagdb::generate::{Chat, Date, Generator, Message, Sampling, SessionOptions};
use std::time::{Duration, Instant};

const TALK: [(&str, &str); 4] = [
    ("system", "Be brief."),
    ("user", " Hi? "),
    ("assistant", "<think>\nA greeting.\n</think>\n\nHello!"),
    ("user", "Bye"),
];

fn render(template: &str, talk: &[(&str, &str)], flags: &[(&str, bool)]) -> Result<String, Error> {
    let generator = Files::of("llama").with_template(template).load().unwrap();
    chat(&generator, talk, flags)
}

fn chat(generator: &Generator, talk: &[(&str, &str)], flags: &[(&str, bool)]) -> Result<String, Error> {
    let messages: Vec<_> = talk.iter().map(|&(role, content)| Message { role, content }).collect();
    generator.chat(&Chat { messages: &messages, add_generation_prompt: true, flags, ..Chat::default() })
}

/// Concatenation binds less than a filter; a variable that is set again in the loop.
const LLAMA_3: &str = "{% set all = messages %}{% for message in all %}{% set text = '<|head|>' + message['role'] + \
     '<|/head|>\n\n' + message['content'] | trim + '<|eot|>' %}{% if loop.index0 == 0 %}{% set text = bos_token + text %}\
     {% endif %}{{ text }}{% endfor %}{% if add_generation_prompt %}{{ '<|head|>assistant<|/head|>\n\n' }}{% endif %}";

/// Blocks on lines of their own, optional variables, the system's message taken out of the list.
const LLAMA_3_1: &str = r#"{{- bos_token }}
{%- if custom_tools is defined %}
    {%- set tools = custom_tools %}
{%- endif %}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|head|>system<|/head|>\n\n" }}
{%- if tools is not none %}
    {{- tools | tojson(indent=4) }}
{%- endif %}
{{- "Today: " + date_string + "\n" }}
{{- system_message + "<|eot|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|head|>' + message['role'] + '<|/head|>\n\n'+ message['content'] | trim + '<|eot|>' }}
    {%- elif 'tool_calls' in message and not message.tool_calls|length == 1 %}
        {{- raise_exception("one call at once") }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|head|>assistant<|/head|>\n\n' }}
{%- endif %}
"#;

const QWEN_2_5: &str = r#"{%- if tools %}
    {{- 'tools: ' }}{{- tools | tojson }}
{%- else %}
    {%- if messages[0]['role'] == 'system' %}
        {{- '<|im_start|>system\n' + messages[0]['content'] + '<|im_end|>\n' }}
    {%- else %}
        {{- '<|im_start|>system\nYou help.<|im_end|>\n' }}
    {%- endif %}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) or (message.role == "assistant" and not message.tool_calls) %}
        {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}
    {%- elif message.role == "tool" %}
        {%- if (loop.index0 == 0) or (messages[loop.index0 - 1].role != "tool") %}{{- '<|im_start|>user' }}{%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
{%- endif %}
"#;

/// A namespace, a list from behind, Python's methods of strings, thoughts left out of earlier turns, a switch.
const QWEN_3: &str = r#"{%- set ns = namespace(searching=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.searching and message.role == "user" and message.content is string and not(message.content.startswith('<tool>') and message.content.endswith('</tool>')) %}
        {%- set ns.searching = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
    {%- if message.role == "assistant" %}
        {%- set thoughts = '' %}
        {%- if message.thoughts is string %}
            {%- set thoughts = message.thoughts %}
        {%- elif '</think>' in content %}
            {%- set thoughts = content.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\n') %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index and (loop.last or (not loop.last and thoughts)) %}
            {{- '<|im_start|>assistant\n<think>\n' + thoughts.strip('\n') + '\n</think>\n\n' + content.lstrip('\n') }}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\n' + content }}
        {%- endif %}
        {{- '<|im_end|>\n' }}
    {%- else %}
        {{- '<|im_start|>' + message.role + '\n' + content + '<|im_end|>' + '\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\n\n</think>\n\n' }}
    {%- endif %}
{%- endif %}"#;

const SMOL_2: &str = "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>\
     system\nYou are small.<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + \
     '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

/// Turns that must alternate, the system's message in the last of the user's.
const MISTRAL: &str = r#"{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}
{%- set ns = namespace() %}
{%- set ns.index = 0 %}
{%- for message in loop_messages %}
    {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}
        {{- raise_exception("roles must alternate") }}
    {%- endif %}
    {%- set ns.index = ns.index + 1 %}
{%- endfor %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\n\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"]|trim + eos_token}}
    {%- else %}
        {{- raise_exception("role " ~ message["role"] ~ " is none of " ~ user_messages|length) }}
    {%- endif %}
{%- endfor %}
"#;

#[test]
fn templates_of_the_families_are_rendered() {
    let thought = "<think>\nA greeting.\n</think>\n\nHello!";
    let im = |role: &str, text: &str| format!("<|im_start|>{role}\n{text}<|im_end|>\n");
    let head = |role: &str, text: &str| format!("<|head|>{role}<|/head|>\n\n{text}<|eot|>");
    let asks = "<|im_start|>assistant\n";
    let qwen = [im("system", "Be brief."), im("user", " Hi? ")].concat();
    let said = [im("assistant", thought), im("user", "Bye")].concat();
    let llama = [head("user", "Hi?"), head("assistant", thought), head("user", "Bye")].concat();
    let llama = format!("{llama}<|head|>assistant<|/head|>\n\n");
    for (name, template, expected) in [
        ("llama 3", LLAMA_3, format!("<s>{}{llama}", head("system", "Be brief."))),
        ("llama 3.1", LLAMA_3_1, format!("<s>{}{llama}", head("system", "Today: 26 Jul 2024\nBe brief."))),
        ("qwen 2.5", QWEN_2_5, format!("{qwen}{said}{asks}")),
        ("qwen 3", QWEN_3, format!("{qwen}{}{}{asks}", im("assistant", "Hello!"), im("user", "Bye"))),
        ("smollm 2", SMOL_2, format!("{qwen}{said}{asks}")),
        ("mistral", MISTRAL, format!("<s>[INST]  Hi? [/INST] {thought}</s>[INST] Be brief.\n\nBye[/INST]")),
    ] {
        assert_eq!(render(template, &TALK, &[]).unwrap(), expected, "{name}");
    }
    let no_system = render(SMOL_2, &TALK[1..2], &[]).unwrap();
    assert_eq!(no_system, format!("{}{}{asks}", im("system", "You are small."), im("user", " Hi? ")));
    let quick = render(QWEN_3, &TALK, &[("enable_thinking", false)]).unwrap();
    assert!(quick.ends_with("<|im_start|>assistant\n<think>\n\n</think>\n\n"));
    assert_eq!(
        render("{{ messages[0] | tojson }}", &TALK, &[]).unwrap(),
        r#"{"role": "system", "content": "Be brief."}"#
    );
}

/// As SmolLM3 publishes it: a date without asking whether there is one, and marks around what the assistant says.
#[test]
fn a_date_is_the_caller_s_and_marks_for_training_say_nothing() {
    let template = "{%- set today = strftime_now(\"%d %B %Y\") -%}\n{{ '<|im_start|>system\nToday: ' ~ today ~ '<|im_end|>\n' }}\
        {%- for message in messages -%}\n{%- if message.role == 'assistant' %}\n{% generation -%}\n{{ message.content }}\
        {%- endgeneration %}\n{% else %}{{ message.content | trim ~ ' -> ' }}{% endif %}{%- endfor -%}";
    let generator = Files::of("llama").with_template(template).load().unwrap();
    let messages = [("user", " Hi? "), ("assistant", "Hello!")].map(|(role, content)| Message { role, content });
    let on = |date| generator.chat(&Chat { messages: &messages, date, ..Chat::default() });
    let date: Date = "2026-03-07".parse().unwrap();
    assert_eq!(on(Some(date)).unwrap(), "<|im_start|>system\nToday: 07 March 2026<|im_end|>\nHi? -> Hello!");
    let error = on(None).unwrap_err().to_string();
    assert!(error.contains("strftime_now") && error.contains("give a date"), "{error}");
    // Templates that have a date of their own take the caller's.
    let own = render(LLAMA_3_1, &TALK, &[]).unwrap();
    let generator = Files::of("llama").with_template(LLAMA_3_1).load().unwrap();
    let given = generator.chat(&Chat { messages: &messages, date: Some(date), ..Chat::default() }).unwrap();
    assert!(own.contains("Today: 26 Jul 2024") && given.contains("Today: 07 Mar 2026"), "{given}");
}

#[test]
fn the_template_s_own_refusal_is_the_caller_s_fault() {
    match render(MISTRAL, &[TALK[1], TALK[3]], &[]) {
        Err(Error::Invalid { what: "messages", detail }) => {
            assert!(detail.ends_with("roles must alternate"), "{detail}")
        }
        other => panic!("{other:?}"),
    }
    match render("{% for x in messages %}\n{{ x | frobnicate }}{% endfor %}", &TALK, &[]) {
        Err(Error::Model { path, problem }) => {
            assert!(path.ends_with("tokenizer_config.json"));
            assert!(problem.contains("line 2") && problem.contains("frobnicate"), "{problem}");
        }
        other => panic!("{other:?}"),
    }
    let plain = Files::of("llama").load().unwrap();
    assert!(matches!(plain.check_chat_template(), Err(Error::Model { .. })));
    assert!(matches!(chat(&plain, &TALK, &[]), Err(Error::Model { .. })));
    assert!(ChatModel::new(plain).is_err());
}

/// Each of these asks for more than there is: steps, memory, or stack.
#[test]
fn what_takes_too_much_is_refused() {
    let deep =
        |inside: &str| format!("{{% set ns = namespace(a=[]) %}}{{% for i in range(90000) %}}{inside}{{% endfor %}}");
    let doubled = |made: &str, then: &str| {
        let double = "{% set a = [a, a] %}".repeat(40);
        format!("{{% set a = {made} %}}{double}{then}")
    };
    let chain = format!("{{{{ 'x'{} }}}}", " ~ 'x'".repeat(9000));
    let nested = "{% if true %}".repeat(5000) + &"{% endif %}".repeat(5000);
    let raw = format!("{{% for i in range(90000) %}}{}{{% endfor %}}", "x".repeat(60_000));
    for template in [
        "{% for i in range(90000) %}{% for j in range(90000) %}{% endfor %}{% endfor %}",
        "{% set ns = namespace(a='x') %}{% for i in range(99) %}{% set ns.a = ns.a ~ ns.a %}{% endfor %}",
        "{% set ns = namespace(a='x') %}{% for i in range(99) %}{% set ns.a = ns.a + ns.a %}{% endfor %}",
        "{% set ns = namespace(a='xx') %}{% for i in range(99) %}{% set ns.a = ns.a | replace('x', ns.a) %}{% endfor %}",
        "{% set ns = namespace(a='xx') %}{% for i in range(99) %}{% set ns.a = ns.a.replace('x', ns.a) %}{% endfor %}",
        "{% set ns = namespace(a='xx') %}{% for i in range(99) %}{% set ns.a = ns.a.join([ns.a, ns.a]) %}{% endfor %}",
        "{% set ns = namespace(a=[1]) %}{% for i in range(99) %}{% set ns.a = ns.a + ns.a %}{% endfor %}",
        "{% set a = 'x' %}{% for i in range(99) %}{% set a %}{{ a }}{{ a }}{% endset %}{% endfor %}{% set a %}{% for i in range(90000) %}{{ messages[0].content }}{% endfor %}{% endset %}",
        "{{ 'x' * 100000000 }}",
        "{{ ('x') * 100000000 ~ 'y' * 100000000 }}",
        "{% set n = 100000000 %}{{ 'x' * n }}",
        &deep("{% set ns.a = [ns.a] %}"),
        &deep("{% set ns.a = {'a': ns.a} %}"),
        &deep("{% set ns.a = namespace(a=ns.a) %}"),
        &deep("{% set ns.a = ns.a[0:] %}"),
        &doubled("'x'", "{{ a | tojson }}"),
        &doubled("'x'", "{% set b = a %}{{ a == [b[0], b[1]] }}"),
        &doubled("'x'", "{{ a in [a] }}"),
        &doubled("'x'", "{{ {'a': 1}[a] }}"),
        &doubled("'x'", "{{ a }}"),
        &doubled("'x'", "{{ a is eq [a, a] }}"),
        &chain,
        &nested,
        &raw,
        &"x".repeat(1 << 17),
    ] {
        let start = Instant::now();
        let rendered = render(template, &TALK, &[]).map(|text| text.len());
        let shown = &template[..template.len().min(120)];
        assert!(start.elapsed() < Duration::from_secs(5), "{shown}: {:?}", start.elapsed());
        let is_refused =
            matches!(&rendered, Err(Error::Model { problem, .. }) if problem.starts_with("chat template: "));
        // Nesting is a matter of stack alone; it may as well be rendered.
        assert!(is_refused || template == nested && rendered.is_ok(), "{shown}: {rendered:?}");
    }
}

#[test]
fn templates_are_found_where_models_keep_them() {
    let dir = tempfile::tempdir().unwrap();
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(crate::generate_support::dir("llama").join(file), dir.path().join(file)).unwrap();
    }
    let config = |json: &str| std::fs::write(dir.path().join("tokenizer_config.json"), json).unwrap();
    let load = || Generator::load(dir.path());
    assert!(load().unwrap().check_chat_template().is_err());
    config(
        r#"{"bos_token": "<s>", "chat_template": [{"name": "tool_use", "template": "tools"}, {"name": "default", "template": "{{ bos_token }}one"}]}"#,
    );
    assert_eq!(chat(&load().unwrap(), &TALK, &[]).unwrap(), "<s>one");
    std::fs::write(dir.path().join("chat_template.jinja"), "{{ bos_token }}its own").unwrap();
    assert_eq!(chat(&load().unwrap(), &TALK, &[]).unwrap(), "<s>its own");
    std::fs::remove_file(dir.path().join("chat_template.jinja")).unwrap();
    let template = Value::String("{{ bos_token }}|{{ eos_token }}".into());
    let file =
        Converted::of("llama", GgmlDType::F16).with_byte_level("qwen2", &[("tokenizer.chat_template", template)]);
    assert_eq!(chat(&file.load(), &TALK, &[]).unwrap(), "<|begin|>|<|im_end|>");
}

/// A template that cannot be read stopped the whole model from loading; it speaks, and says what is wrong when it is to chat.
#[test]
fn a_damaged_template_costs_the_chat_and_not_the_model() {
    let unlike = Converted::of("llama", GgmlDType::F16)
        .with_byte_level("qwen2", &[("tokenizer.chat_template", Value::U32(7))])
        .load();
    let with = |json: &str| {
        let files = Files { tokenizer_config: Some(json.to_owned()), ..Files::of("llama").with_words() };
        files.load().unwrap()
    };
    for (generator, file, problem) in [
        (with("["), "tokenizer_config.json", "no JSON"),
        (
            with(r#"{"chat_template": [{"name": "tool_use"}]}"#),
            "tokenizer_config.json",
            "a list of 1 without one called",
        ),
        (with(r#"{"chat_template": 3}"#), "tokenizer_config.json", "neither a text nor a list"),
        (unlike, "model.gguf", "tokenizer.chat_template is"),
    ] {
        let mut session = generator.session(SessionOptions::default()).unwrap();
        session.generate("w5", &Sampling::greedy(2), go_on).unwrap();
        for error in [chat(&generator, &TALK, &[]).unwrap_err(), ChatModel::new(generator.clone()).unwrap_err()] {
            let shown = error.to_string();
            assert!(matches!(error, Error::Model { .. }) && shown.contains(file) && shown.contains(problem), "{shown}");
        }
    }
}

/// Words as template: `w10` begins what the user says, `w11` what the assistant says, `w2` ends both.
const WORDS: &str = "{% for m in messages %}{{ 'w10 ' if m.role == 'user' else ('w11 ' if m.role == 'assistant' else 'w12 ') }}\
                     {{ m.content | trim }}{{ ' w2 ' }}{% endfor %}{% if add_generation_prompt %}{{ 'w11 ' }}{% endif %}";

fn reply(conversation: &mut dyn Conversation) -> (Vec<u32>, usize) {
    let reply = conversation.reply(&Decoding::greedy(3), &mut |_| {}).unwrap();
    (conversation.capture(64, ElementType::F16).unwrap().token_ids().to_vec(), reply.n_tokens)
}

#[test]
fn a_turn_writes_what_is_new() {
    let generator = Files::of("llama").with_words().with_template(WORDS).load().unwrap();
    let model = ChatModel::new(generator.clone()).unwrap().system("w30");
    assert_ne!(model.identity(), generator.identity());
    let mut conversation = model.open(&ConversationOptions { capture: true }).unwrap();
    conversation.say("w5 w6 ").unwrap();
    conversation.say_tokens(&[7, 2]).unwrap();
    conversation.say("w8").unwrap();
    let (first, n) = reply(&mut *conversation);
    assert_eq!(&first[..first.len() - n], [12, 30, 2, 10, 5, 6, 7, 2, 8, 2, 11]);
    conversation.say("w9").unwrap();
    let (second, n) = reply(&mut *conversation);
    // The token that ends a text is not said twice; a reply that was too long is ended.
    let ended = first.last() == Some(&2);
    let expected: &[u32] = if ended { &[10, 9, 2, 11] } else { &[2, 10, 9, 2, 11] };
    assert_eq!(&second[..second.len() - n], expected);
}

/// A template writes the beginning of a text, with which the session begins already; after a log it was read a second time.
#[test]
fn the_beginning_of_a_text_is_read_once_before_and_after_a_log() {
    let mut files = Files::of("llama").with_words().with_template(&format!("{{{{ 'w1 ' }}}}{WORDS}"));
    let begins = r#""post_processor": {"type": "TemplateProcessing", "pair": [],
        "single": [{"SpecialToken": {"id": "w1", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "special_tokens": {"w1": {"id": "w1", "ids": [1], "tokens": ["w1"]}}}"#;
    files.tokenizer = files.tokenizer.map(|json| json.replace(r#""post_processor": null"#, begins));
    let generator = files.load().unwrap();
    assert_eq!(generator.encode("w5", true).unwrap(), [1, 5]);
    let log = log_of(&generator, &tokens(9, 0), ElementType::F16);
    for with_log in [false, true] {
        let model = ChatModel::new(generator.clone()).unwrap();
        let mut conversation = model.open(&ConversationOptions { capture: true }).unwrap();
        if with_log {
            conversation.attach(&log).unwrap();
        }
        conversation.say("w5").unwrap();
        let (said, n) = reply(&mut *conversation);
        assert_eq!(&said[..said.len() - n], [10, 5, 2, 11], "with a log: {with_log}");
    }
}

/// A model whose next token is always the one that ends a text.
#[test]
fn the_end_of_a_reply_is_written_once() {
    let mut files = Files::of("llama").with_words().with_template(WORDS);
    files.config = files.config.replace("\"eos_token_id\": 2", "\"eos_token_id\": [2, 3]");
    let all: Vec<String> = (0..N_VOCAB).filter(|&id| id != 2).map(|id| id.to_string()).collect();
    files.config = files.config.replace("[2, 3]", &format!("[2, {}]", all.join(", ")));
    let generator = files.load().unwrap();
    assert_eq!(generator.config().eos_ids.len(), N_VOCAB);
    let mut conversation = ChatModel::new(generator).unwrap().open(&ConversationOptions { capture: true }).unwrap();
    conversation.say("w5").unwrap();
    let (first, n) = reply(&mut *conversation);
    assert_eq!(n, 1, "whatever comes ends the reply");
    conversation.say("w6").unwrap();
    let (second, _) = reply(&mut *conversation);
    let expected: &[u32] = if first.last() == Some(&2) { &[10, 6, 2, 11] } else { &[2, 10, 6, 2, 11] };
    assert_eq!(&second[..second.len() - 1], expected);
}

#[test]
fn a_template_that_turns_the_conversation_round_is_refused() {
    let backwards = "{% for m in messages[::-1] %}{{ m.content }} {% endfor %}";
    let generator = Files::of("llama").with_words().with_template(backwards).load().unwrap();
    let mut conversation = ChatModel::new(generator).unwrap().open(&ConversationOptions::default()).unwrap();
    conversation.say("w5").unwrap();
    conversation.reply(&Decoding::greedy(2), &mut |_| {}).unwrap();
    conversation.say("w6").unwrap();
    conversation.say_tokens(&[7]).unwrap();
    assert!(matches!(
        conversation.reply(&Decoding::greedy(2), &mut |_| {}),
        Err(Error::Invalid { what: "messages", .. })
    ));
}
