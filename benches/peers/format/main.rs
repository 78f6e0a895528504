//! The segment format beside its peers: `cargo bench --manifest-path benches/peers/Cargo.toml --bench format -- --json`.
//!
//! Names of parts on the command line (`-- lossless`) run only those. One thread, CPU seconds, medians of rounds in which
//! all take turns; bytes are in memory or mapped and warm.

#[path = "../../report.rs"]
mod report;
#[path = "../../synthetic.rs"]
mod synthetic;

mod codec;
mod lossless;
mod parquet;
mod tensors;

use lagdb_peers::BenchResult;
use lagdb_peers::python::Python;
use report::{Absent, Row};

/// What the parts share.
pub(crate) struct Peers {
    /// The child that runs Blosc2 and ZipNN; `None` without an interpreter.
    python: Option<Python>,
    absent: Vec<Absent>,
}

impl Peers {
    fn start() -> Self {
        let (python, absent) = match Python::start("lossless.py") {
            Ok(python) => {
                let absent = python.absent.iter();
                let absent = absent.map(|(peer, get)| Absent { peer: peer.clone(), get: get.clone() }).collect();
                (Some(python), absent)
            }
            Err(error) => {
                let get = format!("set LAGDB_PEERS_PYTHON to a Python 3 interpreter ({error})");
                (None, vec![Absent { peer: "Blosc2, ZipNN".to_owned(), get }])
            }
        };
        Self { python, absent }
    }

    fn python_has(&self, peer: &str) -> bool {
        self.python.as_ref().is_some_and(|python| python.ready.iter().any(|ready| ready == peer))
    }
}

/// A part of the bench, by the name that selects it.
type Part = (&'static str, fn(&mut Peers) -> BenchResult<Vec<Row>>);

const PARTS: [Part; 1] = [("lossless", lossless::rows)];

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
