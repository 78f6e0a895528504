//! The ten nearest of many vectors, beside hnswlib, usearch and faiss: the same vectors and queries, one thread, CPU time.
//!
//! The vectors are made up to be as hard as sentence embeddings: 100 overlapping clusters of a space of 64 dimensions, laid
//! into 384. lagdb answers with ids from [`Snapshot::nearest`], with cosines of 16 bits a number, at its one setting; a
//! peer has the setting at which it is fastest among those that reach the recall, all queries in one call.
//! Filters are properties of lagdb alone: uncorrelated ones let through records at random, correlated ones those of some
//! clusters, near to some queries and far from others.

use crate::report::{Absent, Row, cpu, wall};
use crate::synthetic::Random;
use lagdb::{Database, Embedding, EmbeddingSpace, Query, Snapshot, Trajectory};
use lagdb_peers::BenchResult;
use lagdb_peers::python::Python;
use serde_json::json;
use std::io::Write;
use tempfile::NamedTempFile;

const SIZES: [usize; 2] = [20_000, 100_000];
const DIM: usize = 384;
const LATENT: usize = 64;
const N_CLUSTERS: usize = 100;
const N_QUERIES: usize = 1000;
const K: usize = 10;
/// Recall of the ten nearest that an answer needs to count.
const RECALL: f64 = 0.99;
/// How many vectors a peer keeps in sight, ascending.
const BREADTHS: [usize; 12] = [16, 24, 32, 40, 48, 56, 64, 80, 96, 128, 192, 256];
const PEERS: [&str; 5] = ["hnswlib", "faiss HNSW", "usearch f32", "usearch f16", "usearch i8"];
const ROUNDS: usize = 3;
/// Shares of the records that a filter lets through, by label.
const SHARES: [(&str, f64); 4] = [("50 %", 0.5), ("10 %", 0.1), ("1 %", 0.01), ("0.01 %", 0.0001)];

/// Vectors, queries, and the ten nearest of each query.
struct Set {
    vectors: Vec<Vec<f32>>,
    clusters: Vec<usize>,
    queries: Vec<Vec<f32>>,
    nearest: Vec<Vec<u32>>,
}

/// All rows of the part, and the peers that are missing in them.
pub(crate) fn rows() -> BenchResult<(Vec<Row>, Vec<Absent>)> {
    let mut python = Python::start("vectors.py").ok();
    let absent = match &python {
        None => vec![Absent { peer: PEERS.join(", "), get: "python3".to_owned() }],
        Some(python) => {
            python.absent.iter().map(|(peer, get)| Absent { peer: peer.clone(), get: get.clone() }).collect()
        }
    };
    let mut rows = Vec::new();
    for n in SIZES {
        let set = Set::new(n);
        let own = Own::measure(&set)?;
        let peers = PEERS.iter().map(|name| Peer::measure(name, &mut python, &set)).collect::<BenchResult<Vec<_>>>()?;
        rows.extend(report(n, &own, &peers));
        rows.extend(own.selective);
    }
    Ok((rows, absent))
}

impl Set {
    fn new(n: usize) -> Self {
        let mut set = Self::unanswered(n);
        set.nearest = set.queries.iter().map(|query| nearest(&set.vectors, query)).collect();
        set
    }

    /// Without the ten nearest.
    fn unanswered(n: usize) -> Self {
        let mut random = Random(n as u64);
        let mut numbers = |n: usize| (0..n).map(|_| random.normal()).collect::<Vec<f32>>();
        let rows = |flat: Vec<f32>, width: usize| flat.chunks(width).map(<[f32]>::to_vec).collect::<Vec<_>>();
        let centres = rows(numbers(N_CLUSTERS * LATENT), LATENT);
        // By latent dimension, so that a vector is a sum of rows.
        let axes = rows(numbers(LATENT * DIM), DIM);
        let (mut vectors, mut clusters) = (Vec::new(), Vec::new());
        for i in 0..n + N_QUERIES {
            let cluster = (i * 7919) % N_CLUSTERS;
            let (offsets, mut vector) = (numbers(LATENT), numbers(DIM));
            vector.iter_mut().for_each(|x| *x *= 0.1);
            for ((axis, centre), offset) in axes.iter().zip(&centres[cluster]).zip(offsets) {
                let weight = (centre + offset) / (LATENT as f32).sqrt();
                vector.iter_mut().zip(axis).for_each(|(x, a)| *x += weight * a);
            }
            let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
            vector.iter_mut().for_each(|x| *x /= norm);
            vectors.push(vector);
            clusters.push(cluster);
        }
        let queries = vectors.split_off(n);
        clusters.truncate(n);
        Self { vectors, clusters, queries, nearest: Vec::new() }
    }
}

/// CPU ms of a search of the ten nearest, at the median and the 99th percentile, each query its fastest of some; and wall ms
/// from the open to the first answer. With a graph where there is one by default.
pub(crate) fn searched(n: usize) -> BenchResult<[f64; 3]> {
    let (set, directory) = (Set::unanswered(n), tempfile::tempdir()?);
    let queries = set.queries.iter().map(|query| Own::query(query)).collect::<BenchResult<Vec<_>>>()?;
    let database = Database::open(directory.path())?;
    fill(&database, &set)?;
    drop(set);
    database.scope("bench")?.snapshot()?.nearest::<Trajectory>(&queries[0])?;
    database.finish_indexing();
    drop(database);
    let (open_s, opened) = wall(|| -> BenchResult<_> {
        let database = Database::open(directory.path())?;
        database.scope("bench")?.snapshot()?.nearest::<Trajectory>(&queries[0])?;
        Ok(database)
    });
    let snapshot = opened?.scope("bench")?.snapshot()?;
    let mut times = vec![f64::INFINITY; queries.len()];
    time_each(&snapshot, &queries, &mut times)?;
    times.sort_by(f64::total_cmp);
    Ok([times[times.len() / 2] * 1e3, p99(times) * 1e3, open_s * 1e3])
}

fn nearest(vectors: &[Vec<f32>], query: &[f32]) -> Vec<u32> {
    let dot = |x: &[f32]| -> f32 {
        let mut lanes = [0.0f32; 16];
        for (a, b) in x.as_chunks::<16>().0.iter().zip(query.as_chunks::<16>().0) {
            lanes.iter_mut().zip(a.iter().zip(b)).for_each(|(lane, (a, b))| *lane += a * b);
        }
        lanes.iter().sum()
    };
    let mut scored: Vec<(f32, u32)> = vectors.iter().zip(0..).map(|(x, i)| (dot(x), i)).collect();
    let (best, ..) = scored.select_nth_unstable_by(K, |a, b| b.0.total_cmp(&a.0));
    best.iter().map(|(_, i)| *i).collect()
}

/// lagdb's figures.
struct Own {
    per_second: f64,
    recall: f64,
    bytes_per_vector: f64,
    file_bytes_per_vector: f64,
    build_s: f64,
    p99_ms: f64,
    selective: Vec<Row>,
}

impl Own {
    fn measure(set: &Set) -> BenchResult<Self> {
        let directory = tempfile::tempdir()?;
        let options = || Database::options().graph_from(usize::MAX);
        fill(&options().open(directory.path())?, set)?;
        // What a graph costs: opened anew, the first search reads the vectors, the second begins to build.
        let database = Database::options().graph_from(1).open(directory.path())?;
        let snapshot = database.scope("bench")?.snapshot()?;
        let queries = set.queries.iter().map(|query| Self::query(query)).collect::<BenchResult<Vec<_>>>()?;
        let (build_s, found) = cpu(|| {
            let found = snapshot.nearest::<Trajectory>(&queries[0]);
            database.finish_indexing();
            found
        });
        found?;
        let stats = database.stats()?.index;
        let n = set.vectors.len();
        if stats.in_graphs != n as u64 {
            return Err(format!("a graph over {} of {n} vectors", stats.in_graphs).into());
        }
        let mut fastest = f64::INFINITY;
        let mut times = vec![f64::INFINITY; queries.len()];
        for _ in 0..ROUNDS {
            let (seconds, answered) =
                cpu(|| queries.iter().try_for_each(|query| snapshot.nearest::<Trajectory>(query).map(drop)));
            answered?;
            fastest = fastest.min(seconds);
        }
        time_each(&snapshot, &queries, &mut times)?;
        let mut own = Self {
            per_second: queries.len() as f64 / fastest,
            recall: recall(&snapshot, &queries, &set.nearest)?,
            bytes_per_vector: stats.bytes as f64 / n as f64,
            file_bytes_per_vector: stats.file_bytes as f64 / n as f64,
            build_s,
            p99_ms: p99(times) * 1e3,
            selective: Vec::new(),
        };
        for (kind, correlated) in [("any", false), ("near or far", true)] {
            for (share, _) in SHARES {
                let label = label(share, correlated);
                let asked: Vec<Query> = queries.iter().map(|query| query.clone().label(&label)).collect();
                let mut times = vec![f64::INFINITY; asked.len()];
                time_each(&snapshot, &asked, &mut times)?;
                own.selective.push(Row {
                    name: format!("ten nearest of {share} of {n} ({kind}), p99"),
                    unit: "CPU ms",
                    higher_is_better: false,
                    lagdb: p99(times) * 1e3,
                    peers: Vec::new(),
                    goal: Some(1.0),
                });
            }
        }
        Ok(own)
    }

    fn query(vector: &[f32]) -> BenchResult<Query> {
        Ok(Query::near(Embedding::new(&EmbeddingSpace::new("bench", DIM)?, vector.to_vec())?).limit(K))
    }
}

fn label(share: &str, correlated: bool) -> String {
    format!("{}{share}", if correlated { "clusters " } else { "" })
}

/// Puts all vectors, each with the labels of the filters that let it through. Ids are numbers from 1 on.
fn fill(database: &Database, set: &Set) -> BenchResult<()> {
    let (scope, space) = (database.scope("bench")?, EmbeddingSpace::new("bench", DIM)?);
    let (mut random, n) = (Random(3), set.vectors.len());
    for (chunk, first) in set.vectors.chunks(5000).zip((0..).step_by(5000)) {
        let mut tx = scope.begin()?;
        for (vector, i) in chunk.iter().zip(first..) {
            let mut trajectory = Trajectory::new(format!("task {i}"));
            let (by_chance, by_cluster) = (f64::from(random.unit()), set.clusters[i] as f64 / N_CLUSTERS as f64);
            for (share, of) in SHARES {
                // Less than a cluster: the first of one.
                let in_first = by_cluster == 0.0 && ((i / N_CLUSTERS) as f64) < of * n as f64;
                for (is_in, correlated) in
                    [(by_chance < of, false), (by_cluster + 1e-9 < of && (of >= 0.01 || in_first), true)]
                {
                    if is_in {
                        trajectory = trajectory.label(label(share, correlated));
                    }
                }
            }
            let id = tx.put(&trajectory)?;
            tx.embed(id, &Embedding::new(&space, vector.clone())?)?;
        }
        tx.commit()?;
    }
    Ok(())
}

/// The least CPU seconds of each query over some rounds: what it takes, and not what the machine did meanwhile.
fn time_each(snapshot: &Snapshot, queries: &[Query], times: &mut [f64]) -> BenchResult<()> {
    for _ in 0..ROUNDS {
        for (query, time) in queries.iter().zip(&mut *times) {
            let (seconds, found) = cpu(|| snapshot.nearest::<Trajectory>(query));
            found?;
            *time = time.min(seconds);
        }
    }
    Ok(())
}

fn p99(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() * 99 / 100).copied().unwrap_or(f64::NAN)
}

fn recall(snapshot: &Snapshot, queries: &[Query], nearest: &[Vec<u32>]) -> BenchResult<f64> {
    let mut hits = 0;
    for (query, nearest) in queries.iter().zip(nearest) {
        let found = snapshot.nearest::<Trajectory>(query)?.hits;
        hits += found.iter().filter(|(id, _)| nearest.contains(&(id.as_u64() as u32 - 1))).count();
    }
    Ok(hits as f64 / (nearest.len() * K) as f64)
}

/// A peer's figures; NaN where it is absent or never reaches the recall.
struct Peer {
    name: &'static str,
    per_second: f64,
    bytes_per_vector: f64,
    build_s: f64,
    p99_ms: f64,
}

impl Peer {
    fn measure(name: &'static str, python: &mut Option<Python>, set: &Set) -> BenchResult<Self> {
        let nan = f64::NAN;
        let mut peer = Self { name, per_second: nan, bytes_per_vector: nan, build_s: nan, p99_ms: nan };
        let Some(python) = python.as_mut().filter(|python| python.ready.iter().any(|ready| ready == name)) else {
            return Ok(peer);
        };
        let files = [
            file(set.vectors.iter().flatten().flat_map(|x| x.to_le_bytes()))?,
            file(set.queries.iter().flatten().flat_map(|x| x.to_le_bytes()))?,
            file(set.nearest.iter().flatten().flat_map(|x| x.to_le_bytes()))?,
        ];
        let [vectors, queries, nearest] = files.each_ref().map(|file| file.path());
        python.ask(
            &json!({ "load": { "vectors": vectors, "queries": queries, "nearest": nearest, "dim": DIM, "k": K } }),
        )?;
        let built = python.ask(&json!({ "build": name }))?;
        let number = |answer: &serde_json::Value, key: &str| answer[key].as_f64().unwrap_or(f64::NAN);
        (peer.build_s, peer.bytes_per_vector) = (number(&built, "build_s"), number(&built, "bytes_per_vector"));
        for breadth in BREADTHS {
            let ask = json!({ "search": name, "breadth": breadth });
            let mut answer = python.ask(&ask)?;
            if number(&answer, "recall") >= RECALL {
                let mut fastest = number(&answer, "seconds");
                for _ in 1..ROUNDS {
                    answer = python.ask(&ask)?;
                    fastest = fastest.min(number(&answer, "seconds"));
                }
                peer.per_second = set.queries.len() as f64 / fastest;
                let p99 = python.ask(&json!({ "one_by_one": name, "breadth": breadth }))?;
                peer.p99_ms = number(&p99, "p99_s") * 1e3;
                break;
            }
        }
        Ok(peer)
    }
}

fn file(bytes: impl Iterator<Item = u8>) -> BenchResult<NamedTempFile> {
    let mut file = NamedTempFile::new()?;
    file.write_all(&bytes.collect::<Vec<u8>>())?;
    file.flush()?;
    Ok(file)
}

fn report(n: usize, own: &Own, peers: &[Peer]) -> Vec<Row> {
    let figures = |of: fn(&Peer) -> f64| peers.iter().map(|peer| (peer.name, of(peer))).collect::<Vec<_>>();
    // A peer that does not reach the recall sets no goal.
    let reaching = || peers.iter().filter(|peer| !peer.per_second.is_nan());
    let best = reaching().map(|peer| peer.per_second).reduce(f64::max);
    let smallest = reaching().map(|peer| peer.bytes_per_vector).reduce(f64::min);
    let hnswlib = peers.iter().find(|peer| peer.name == "hnswlib").map(|peer| peer.build_s).filter(|x| !x.is_nan());
    let row = |name: String, unit, higher_is_better, lagdb, peers, goal| Row {
        name,
        unit,
        higher_is_better,
        lagdb,
        peers,
        goal,
    };
    vec![
        row(
            format!("ten nearest of {n}, recall {:.4} (others at least {RECALL})", own.recall),
            "per CPU-s",
            true,
            if own.recall >= RECALL { own.per_second } else { f64::NAN },
            figures(|peer| peer.per_second),
            best.map(|best| 3.0 * best),
        ),
        row(
            format!("index of {n} in memory"),
            "B/vector",
            false,
            own.bytes_per_vector,
            figures(|peer| peer.bytes_per_vector),
            smallest.map(|smallest| 0.4 * smallest),
        ),
        row(format!("index of {n} on disk"), "B/vector", false, own.file_bytes_per_vector, Vec::new(), None),
        row(
            format!("index of {n} built"),
            "CPU s",
            false,
            own.build_s,
            figures(|peer| peer.build_s),
            hnswlib.map(|hnswlib| 1.5 * hnswlib),
        ),
        row(format!("ten nearest of {n}, p99"), "CPU ms", false, own.p99_ms, figures(|peer| peer.p99_ms), Some(0.5)),
    ]
}
