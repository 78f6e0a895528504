//! The segment format beside its peers: `cargo bench --manifest-path benches/peers/Cargo.toml --bench format -- --json`.
//!
//! Names of parts on the command line (`-- lossless`) run only those. One thread, CPU seconds, medians of rounds in which
//! all take turns; bytes are in memory or mapped and warm.

#[path = "../../report.rs"]
mod report;
#[path = "../../synthetic.rs"]
mod synthetic;

mod codec;
mod containers;
mod gather;
mod lossless;
mod mapped;
mod parquet;
mod quantized;
mod quantized_peers;
mod restore;
mod tensors;

use lagdb_peers::BenchResult;
use lagdb_peers::python::Python;
use report::{Absent, Row};

/// What the parts share.
pub(crate) struct Peers {
    /// Blosc2 and ZipNN; `None` without an interpreter.
    python: Option<Python>,
    /// llama.cpp, likewise.
    llama: Option<Python>,
    absent: Vec<Absent>,
}

impl Peers {
    fn start() -> Self {
        let mut absent = Vec::new();
        let mut start = |script, peers: &str| match Python::start(script) {
            Ok(python) => {
                absent.extend(python.absent.iter().map(|(peer, get)| Absent { peer: peer.clone(), get: get.clone() }));
                Some(python)
            }
            Err(error) => {
                let get = format!("set LAGDB_PEERS_PYTHON to a Python 3 interpreter ({error})");
                absent.push(Absent { peer: peers.to_owned(), get });
                None
            }
        };
        let python = start("lossless.py", "Blosc2, ZipNN");
        let llama = start("llama.py", "llama.cpp");
        Self { python, llama, absent }
    }

    fn python_has(&self, peer: &str) -> bool {
        self.python.as_ref().is_some_and(|python| python.ready.iter().any(|ready| ready == peer))
    }
}

/// A part of the bench, by the name that selects it.
type Part = (&'static str, fn(&mut Peers) -> BenchResult<Vec<Row>>);

const PARTS: [Part; 4] = [
    ("lossless", lossless::rows),
    ("quantized", quantized::rows),
    ("restore", restore::rows),
    ("gather", gather::rows),
];

fn main() -> BenchResult<()> {
    let mut peers = Peers::start();
    let mut rows = Vec::new();
    for (_, part) in PARTS.iter().filter(|(name, _)| report::is_wanted(name)) {
        rows.extend(part(&mut peers)?);
    }
    rows.push(report::memory());
    report::print_with(&rows, &peers.absent);
    Ok(())
}
