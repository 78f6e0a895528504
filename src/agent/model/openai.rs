//! A model behind a server that speaks the chat-completions protocol of OpenAI, such as llama.cpp, vLLM or Ollama do.
//!
//! What is said is the user's part, replies are the assistant's; the whole conversation travels with every request. The server
//! is on this machine unless [`allow_remote`](OpenAi::allow_remote) says otherwise: trajectories are nobody else's business.
//! Nothing of a response is believed before it is checked: its size is bounded, it must come in time, and redirects and
//! proxies are not followed.
//!
//! Protocol: <https://platform.openai.com/docs/api-reference/chat/create>.

use super::{Conversation, ConversationOptions, Decoding, LanguageModel, LogUse, Reply, unsupported};
use crate::{Error, Result};
use lagdb_format::{ElementType, KvLog, KvRead};
use serde_json::{Map, Value, json};
use std::net::IpAddr;
use std::time::Duration;

/// The most bytes of a response.
const RESPONSE_BYTES: u64 = 4 << 20;
/// How long a reply may take unless said otherwise.
const TIMEOUT: Duration = Duration::from_secs(120);
/// The most characters of what a server said in an error.
const PROBLEM_CHARS: usize = 300;
/// The most bytes of a model's name in its identity.
const NAME_BYTES: usize = 80;

/// A model behind a server.
#[derive(Clone)]
pub struct OpenAi {
    agent: ureq::Agent,
    url: String,
    model: String,
    token: Option<String>,
}

/// One conversation: who said what, in turn.
struct Spoken {
    server: OpenAi,
    messages: Vec<Value>,
    said: String,
}

impl OpenAi {
    /// The model called `model` of the server at `base`, such as `http://127.0.0.1:8080/v1`.
    ///
    /// # Errors
    /// [`Error::Invalid`] when `base` is no `http` address of this machine.
    pub fn new(base: &str, model: impl Into<String>) -> Result<Self> {
        let server = Self::allow_remote(base, model)?;
        let host = host_of(&server.url)?;
        let is_loopback = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        if !is_loopback {
            return Err(Error::invalid("server", format!("{host} is not this machine; see allow_remote")));
        }
        Ok(server)
    }

    /// As [`new`](Self::new), of a server anywhere. There is no encryption: put a tunnel in between.
    ///
    /// # Errors
    /// [`Error::Invalid`] when `base` is no `http` address.
    pub fn allow_remote(base: &str, model: impl Into<String>) -> Result<Self> {
        let url = format!("{}/chat/completions", base.trim_end_matches('/'));
        host_of(&url)?;
        Ok(Self { agent: client(TIMEOUT), url, model: model.into(), token: None })
    }

    /// With a token that is sent along.
    #[must_use]
    pub fn token(self, token: impl Into<String>) -> Self {
        Self { token: Some(token.into()), ..self }
    }

    /// Waiting at most so long for a reply.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { agent: client(timeout), ..self }
    }

    fn failed(&self, problem: impl std::fmt::Display) -> Error {
        let problem: String = problem.to_string().chars().take(PROBLEM_CHARS).collect();
        Error::Reply { model: self.identity(), problem }
    }

    /// What the server answers to a request.
    fn ask(&self, request: &Value) -> Result<Value> {
        let mut post = self.agent.post(&self.url).header("content-type", "application/json");
        if let Some(token) = &self.token {
            post = post.header("authorization", format!("Bearer {token}"));
        }
        let mut response = post.send(request.to_string()).map_err(|error| self.failed(error))?;
        let status = response.status();
        let body = response.body_mut().with_config().limit(RESPONSE_BYTES).read_to_vec();
        let body = body.map_err(|error| self.failed(error))?;
        if !status.is_success() {
            return Err(self.failed(format!("{status}: {}", String::from_utf8_lossy(&body))));
        }
        serde_json::from_slice(&body).map_err(|error| self.failed(error))
    }
}

impl LanguageModel for OpenAi {
    fn identity(&self) -> String {
        let mut name = self.model.clone();
        name.retain(|c| !c.is_control());
        while name.len() > NAME_BYTES {
            name.pop();
        }
        format!("server model {name}")
    }

    fn open(&self, options: &ConversationOptions) -> Result<Box<dyn Conversation>> {
        if options.capture {
            return Err(unsupported(&self.identity()));
        }
        Ok(Box::new(Spoken { server: self.clone(), messages: Vec::new(), said: String::new() }))
    }
}

impl Conversation for Spoken {
    fn attach(&mut self, _: &dyn KvRead) -> Result<LogUse> {
        Err(unsupported(&self.server.identity()))
    }

    fn say(&mut self, text: &str) -> Result<()> {
        self.said.push_str(text);
        Ok(())
    }

    fn say_tokens(&mut self, _: &[u32]) -> Result<()> {
        Err(unsupported(&self.server.identity()))
    }

    fn reply(&mut self, decoding: &Decoding, on_text: &mut dyn FnMut(&str)) -> Result<Reply> {
        self.messages.push(json!({ "role": "user", "content": self.said }));
        let reply = self
            .server
            .ask(&request(&self.server.model, &self.messages, decoding))
            .and_then(|answer| read(&answer).ok_or_else(|| self.server.failed("the response has no message")));
        // What was not answered is still to be said.
        let reply = reply.inspect_err(|_| drop(self.messages.pop()))?;
        self.said.clear();
        on_text(&reply.text);
        self.messages.push(json!({ "role": "assistant", "content": reply.text }));
        Ok(reply)
    }

    fn capture(&mut self, _: usize, _: ElementType) -> Result<KvLog> {
        Err(unsupported(&self.server.identity()))
    }
}

/// What is sent. What is not in the protocol, such as `top_k`, is sent only if it was asked for.
fn request(model: &str, messages: &[Value], decoding: &Decoding) -> Value {
    let mut request = Map::new();
    let mut set = |key: &str, value: Value| drop(request.insert(key.to_owned(), value));
    set("model", json!(model));
    set("messages", json!(messages));
    set("max_tokens", json!(decoding.max_tokens));
    set("temperature", json!(decoding.temperature));
    set("stream", json!(false));
    // Servers read the seed as a signed number.
    set("seed", json!(decoding.seed >> 1));
    if let Some(top_p) = decoding.top_p {
        set("top_p", json!(top_p));
    }
    if let Some(top_k) = decoding.top_k {
        set("top_k", json!(top_k));
    }
    if !decoding.stop.is_empty() {
        set("stop", json!(decoding.stop));
    }
    if decoding.score {
        set("logprobs", json!(true));
    }
    Value::Object(request)
}

/// What came back. A message may be without text: the model had nothing to say, or only thought until its tokens ran out.
fn read(answer: &Value) -> Option<Reply> {
    let choice = answer.get("choices")?.get(0)?;
    let text = match choice.get("message")?.get("content")? {
        Value::Null => String::new(),
        text => text.as_str()?.to_owned(),
    };
    let count = |key: &str| answer.pointer(&format!("/usage/{key}")).and_then(Value::as_u64).unwrap_or(0) as usize;
    let first_log_prob = choice.pointer("/logprobs/content/0/logprob").and_then(Value::as_f64);
    Some(Reply { text, prompt_tokens: count("prompt_tokens"), n_tokens: count("completion_tokens"), first_log_prob })
}

/// The host of an `http` address.
fn host_of(url: &str) -> Result<String> {
    let problem = |detail: String| Error::invalid("server", detail);
    let uri: ureq::http::Uri = url.parse().map_err(|error| problem(format!("{url}: {error}")))?;
    if uri.scheme_str() != Some("http") {
        return Err(problem(format!("{url} does not begin with http://")));
    }
    let host = uri.host().ok_or_else(|| problem(format!("{url} names no host")))?;
    Ok(host.trim_matches(['[', ']']).to_ascii_lowercase())
}

fn client(timeout: Duration) -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(timeout))
        .max_redirects(0)
        .proxy(None)
        .http_status_as_error(false)
        .build();
    config.into()
}

impl std::fmt::Debug for OpenAi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the token.
        f.debug_struct("OpenAi").field("url", &self.url).field("model", &self.model).finish_non_exhaustive()
    }
}
