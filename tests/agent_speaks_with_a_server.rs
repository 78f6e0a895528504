//! An agent speaks with a server on this machine as with any model; what a server does wrong is an error, never a hang, a
//! flood or a panic.

use crate::kit;
use crate::kit::town::Door;
use lagdb::agent::{Agent, ConversationOptions, Decoding, LanguageModel, OpenAi, Policy, Recollection, Reply};
use lagdb::{Error, ErrorKind};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// A server that answers each connection with the next of `responses`, and tells what it was asked.
fn server(responses: Vec<String>) -> (String, Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}/v1/", listener.local_addr().unwrap());
    let (asked, requests) = channel();
    std::thread::spawn(move || {
        for response in responses {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = asked.send(read_request(&stream));
            // Whoever asked may have hung up.
            let _ = stream.write_all(response.as_bytes());
        }
    });
    (base, requests)
}

fn read_request(stream: &TcpStream) -> Value {
    let mut reader = BufReader::new(stream);
    let (mut line, mut n_bytes, mut is_right) = (String::new(), 0, false);
    while reader.read_line(&mut line).unwrap() > 2 {
        let lower = line.to_ascii_lowercase();
        is_right |= lower.starts_with("post /v1/chat/completions http/1.1");
        n_bytes = lower.strip_prefix("content-length:").map_or(n_bytes, |n| n.trim().parse().unwrap());
        line.clear();
    }
    assert!(is_right, "another path was asked for");
    let mut body = vec![0; n_bytes];
    reader.read_exact(&mut body).unwrap();
    serde_json::from_slice(&body).unwrap()
}

fn http(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

fn says(text: &str) -> String {
    let message = json!({
        "choices": [{ "message": { "role": "assistant", "content": text }, "logprobs": { "content": [{ "logprob": -0.5 }] } }],
        "usage": { "prompt_tokens": 7, "completion_tokens": 2 },
    });
    http("200 OK", &message.to_string())
}

fn reply(model: &OpenAi) -> lagdb::Result<Reply> {
    let mut conversation = model.open(&ConversationOptions::default())?;
    conversation.say("hello")?;
    conversation.reply(&Decoding { score: true, ..Decoding::greedy(8) }, &mut |_| {})
}

#[test]
fn the_conversation_travels_with_every_request() {
    let (base, requests) = server(vec![says("please"), says("sesame")]);
    let (_database, scope) = kit::in_memory();
    let agent = Agent::new(OpenAi::new(&base, "small").unwrap(), scope, Policy::default());
    let attempt = agent.solve(&mut Door::new("open the door", "sesame"), &Recollection::default()).unwrap();
    assert_eq!((attempt.n_actions(), attempt.prefill_tokens), (2, 14));
    let first = requests.recv().unwrap();
    assert_eq!((first["model"].as_str(), first["max_tokens"].as_u64()), (Some("small"), Some(256)));
    let second = requests.recv().unwrap();
    let said: Vec<_> =
        second["messages"].as_array().unwrap().iter().map(|one| one["content"].as_str().unwrap()).collect();
    assert_eq!(said, ["task: open the door\n", "please", "locked\n"]);
}

/// A request that failed left the user's words behind, and the next one said them in a turn of their own before an empty one.
#[test]
fn what_was_not_answered_is_said_once_more() {
    let (base, requests) = server(vec![http("503 Service Unavailable", "loading"), says("hi")]);
    let mut conversation = OpenAi::new(&base, "small").unwrap().open(&ConversationOptions::default()).unwrap();
    conversation.say("hello").unwrap();
    assert!(conversation.reply(&Decoding::greedy(8), &mut |_| {}).is_err());
    conversation.say(" again").unwrap();
    assert_eq!(conversation.reply(&Decoding::greedy(8), &mut |_| {}).unwrap().text, "hi");
    let _failed = requests.recv().unwrap();
    let said = requests.recv().unwrap()["messages"].clone();
    assert_eq!(said, json!([{ "role": "user", "content": "hello again" }]));
}

/// Servers answer `null` where a model thought until its tokens ran out; that was taken for no answer at all.
#[test]
fn a_message_without_text_is_an_empty_reply() {
    let (base, _requests) = server(vec![http("200 OK", r#"{"choices":[{"message":{"content":null}}]}"#)]);
    assert_eq!(reply(&OpenAi::new(&base, "small").unwrap()).unwrap().text, "");
}

#[test]
fn how_likely_the_first_token_was_is_told_if_asked() {
    let (base, requests) = server(vec![says("hi")]);
    assert_eq!(reply(&OpenAi::new(&base, "small").unwrap()).unwrap().first_log_prob, Some(-0.5));
    assert_eq!(requests.recv().unwrap()["logprobs"], true);
}

#[test]
fn what_a_server_does_wrong_is_an_error() {
    let huge = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{}", " ".repeat(5 << 20));
    let redirect =
        "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let wrong = [
        http("500 Internal Server Error", "no memory left"),
        http("200 OK", "no JSON"),
        http("200 OK", "{\"choices\":[]}"),
        http("200 OK", "{\"choices\":[{\"message\":{\"content\":7}}]}"),
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\ncut".to_owned(),
        "not HTTP at all\r\n\r\n".to_owned(),
        String::new(),
        redirect.to_owned(),
        huge,
    ];
    for response in wrong {
        let (base, _requests) = server(vec![response.clone()]);
        let error = reply(&OpenAi::new(&base, "small").unwrap()).unwrap_err();
        let beginning = &response[..response.len().min(80)];
        assert!(matches!(error, Error::Reply { .. }), "{beginning:?}: {error}");
        assert_eq!(error.kind(), ErrorKind::Environment);
    }
    let (base, _requests) = server(vec![http("500 Internal Server Error", "no memory left")]);
    let error = reply(&OpenAi::new(&base, "small").unwrap()).unwrap_err().to_string();
    assert!(error.contains("no memory left") && error.contains("500"), "{error}");
}

#[test]
fn a_server_that_does_not_answer_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}/v1", listener.local_addr().unwrap());
    let model = OpenAi::new(&base, "small").unwrap().timeout(Duration::from_millis(200));
    let start = Instant::now();
    assert!(matches!(reply(&model), Err(Error::Reply { .. })));
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn only_this_machine_is_spoken_with_unless_allowed() {
    for base in ["http://127.0.0.1:8080/v1", "http://localhost:1/v1", "http://[::1]:8080"] {
        assert!(OpenAi::new(base, "small").is_ok(), "{base}");
    }
    for base in
        ["http://example.org/v1", "http://10.0.0.1/v1", "http://localhost.example.org", "http://127.0.0.1@example.org"]
    {
        assert!(matches!(OpenAi::new(base, "small"), Err(Error::Invalid { .. })), "{base}");
        assert!(OpenAi::allow_remote(base, "small").is_ok(), "{base}");
    }
    for base in ["https://localhost", "ftp://localhost", "localhost:8080", "", "http://"] {
        assert!(matches!(OpenAi::allow_remote(base, "small"), Err(Error::Invalid { .. })), "{base}");
    }
    let secret = format!("{:?}", OpenAi::new("http://localhost", "small").unwrap().token("s3cret"));
    assert!(!secret.contains("s3cret"));
}

#[test]
fn it_takes_and_gives_no_kv_logs() {
    let model = OpenAi::new("http://127.0.0.1:1", "small").unwrap();
    assert!(matches!(model.open(&ConversationOptions { capture: true }), Err(Error::KvLogsUnsupported { .. })));
    let mut conversation = model.open(&ConversationOptions::default()).unwrap();
    assert!(matches!(conversation.attach(&kit::kv_log(&kit::model(1), 1, 1)), Err(Error::KvLogsUnsupported { .. })));
}
