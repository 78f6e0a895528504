//! A KV log attended to by its pages gives what the same log gives as rows at one position, and reads only what it has to.

use crate::generate_support::*;
use lagdb::format::{Bytes, ElementType, Encoding, KvLog, KvLogView, KvRead, Segment, SegmentWriter};
use lagdb::generate::{
    AttachPolicy, CapturePolicy, Choice, Emphasis, Generator, Importance, KvNumbers, LogPositions, PagePolicy,
    PagesRead, Selection, Session, SessionOptions,
};
use lagdb::{Database, Error, KvStorage, Trajectory};

/// The log of these tokens in pages of 40, of which the last is shorter.
fn paged(generator: &Generator, ids: &[u32], encoding: Encoding) -> KvLogView<'static> {
    let log = log_of(generator, ids, ElementType::F16);
    let mut writer = SegmentWriter::new(1).with_page_bytes(40 * log.geometry().row_width() * 2).with_key_summaries();
    writer.push(&log, encoding).unwrap();
    view(&writer.finish().unwrap(), |_| {})
}

/// The only log of a segment, whose bytes were changed first.
fn view(segment: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> KvLogView<'static> {
    let opened = Segment::open(segment).unwrap();
    let row_group = &opened.footer().row_groups()[0];
    let range = row_group.range();
    let mut bytes = segment[range.start as usize..range.end as usize].to_vec();
    change(&mut bytes);
    KvLogView::new(row_group, Bytes::from(bytes)).unwrap()
}

fn holding(generator: &Generator, numbers: KvNumbers) -> Session {
    generator.session(SessionOptions { kv_numbers: Some(numbers), ..Default::default() }).unwrap()
}

/// A session that has read something and then got these logs by their pages.
fn by_pages(generator: &Generator, numbers: KvNumbers, logs: &[KvLogView<'static>], policy: &PagePolicy) -> Session {
    let mut session = holding(generator, numbers);
    session.feed(&tokens(5, 9)).unwrap();
    session.attach_pages(logs, policy).unwrap();
    session
}

/// The same with the logs as rows at one position.
fn by_rows(generator: &Generator, numbers: KvNumbers, logs: &[KvLogView<'static>], emphasis: Emphasis) -> Session {
    let mut session = holding(generator, numbers);
    session.feed(&tokens(5, 9)).unwrap();
    let logs: Vec<&dyn KvRead> = logs.iter().map(|log| log as &dyn KvRead).collect();
    let policy = AttachPolicy { positions: LogPositions::One, emphasis, ..AttachPolicy::default() };
    session.attach_all(&logs, &policy).unwrap();
    session
}

fn one_by_one(mut session: Session, ids: &[u32]) -> Vec<f32> {
    ids.iter().flat_map(|id| session.feed(&[*id]).unwrap()).collect()
}

#[test]
fn all_pages_are_the_log_at_one_position() {
    for family in FAMILIES {
        let (generator, ids) = (model(family), tokens(30, 1));
        let logs =
            [paged(&generator, &tokens(100, 2), Encoding::Int8), paged(&generator, &tokens(9, 3), Encoding::Int8)];
        for emphasis in [Emphasis::default(), Emphasis { temperature: 0.7, scale: 0.8, bias: 0.5 }] {
            let policy = PagePolicy { emphasis, ..PagePolicy::default() };
            let expected = by_rows(&generator, KvNumbers::F32, &logs, emphasis).feed_for_logits(&ids).unwrap();
            let without = by_rows(&generator, KvNumbers::F32, &[], emphasis).feed_for_logits(&ids).unwrap();
            assert!(distance(&expected, &without) > 1e-2, "{family}: the logs are attended to");
            for (numbers, most) in [(KvNumbers::F32, 1e-4), (KvNumbers::F16, 0.02)] {
                let at_once = by_pages(&generator, numbers, &logs, &policy).feed_for_logits(&ids).unwrap();
                let stepwise = one_by_one(by_pages(&generator, numbers, &logs, &policy), &ids);
                for (found, way) in [(at_once, "at once"), (stepwise, "one by one")] {
                    let distance = distance(&found, &expected);
                    assert!(distance < most, "{family}, {emphasis:?}, {numbers:?}, {way}: {distance}");
                }
            }
        }
    }
}

/// Sources of two calls stand at positions of their own, as rows of two calls do.
#[test]
fn logs_of_several_calls_and_rows_stand_beside_each_other() {
    for family in ["qwen3", "mistral_window"] {
        let (generator, ids) = (model(family), tokens(20, 1));
        let [a, b] = [2, 3].map(|seed| paged(&generator, &tokens(50, seed), Encoding::Int8));
        let own = log_of(&generator, &tokens(7, 4), ElementType::F32);
        let mut sessions = [true, false].map(|pages| {
            let mut session = holding(&generator, KvNumbers::F32);
            for log in [&a, &b] {
                let policy = AttachPolicy { positions: LogPositions::One, ..AttachPolicy::default() };
                match pages {
                    true => drop(session.attach_pages(std::slice::from_ref(log), &PagePolicy::default()).unwrap()),
                    false => drop(session.attach_all(&[log], &policy).unwrap()),
                }
                session.attach(&own).unwrap();
            }
            session
        });
        let [pages, rows] = sessions.each_mut().map(|session| session.feed_for_logits(&ids).unwrap());
        assert!(distance(&pages, &rows) < 1e-4, "{family}: {}", distance(&pages, &rows));
        let [pages, rows] =
            sessions.each_ref().map(|session| (session.n_tokens(), session.n_attached(), session.n_paged()));
        assert_eq!((pages, rows), ((34, 14, 100), (134, 114, 0)), "{family}");
    }
}

/// Nothing of a log counts for the context limit, but for the one position that it takes.
#[test]
fn a_log_may_be_longer_than_the_context() {
    let generator = model("llama");
    let log = paged(&generator, &tokens(200, 2), Encoding::Int8);
    let mut session = generator.session(SessionOptions { context_limit: Some(20), ..Default::default() }).unwrap();
    assert!(matches!(session.attach(&log), Err(Error::ContextLimit { .. })));
    session.attach_pages(&[log], &PagePolicy::default()).unwrap();
    assert!(matches!(session.feed(&tokens(20, 1)), Err(Error::ContextLimit { n_tokens: 21, limit: 20 })));
    session.feed(&tokens(19, 1)).unwrap();
}

#[test]
fn a_budget_of_pages_is_kept() {
    for (family, numbers) in [("llama", KvNumbers::F32), ("smollm3", KvNumbers::F16)] {
        let (generator, ids) = (model(family), tokens(12, 1));
        let log = paged(&generator, &tokens(300, 2), Encoding::Int8);
        let heads = 12 * u64::from(log.geometry().n_layers * log.geometry().n_kv_heads);
        let answer = |policy| {
            let session = by_pages(&generator, numbers, std::slice::from_ref(&log), &policy);
            let mut at_once = session.fork().unwrap();
            let logits = at_once.feed_for_logits(&ids).unwrap();
            let read = at_once.pages_read();
            assert!(distance(&one_by_one(session, &ids), &logits) < 1e-3, "{family}: however tokens come");
            (logits, read)
        };
        let (all, read) = answer(PagePolicy::default());
        assert_eq!(read, PagesRead { read: 8 * heads, of: 8 * heads });
        let mut last = f32::INFINITY;
        for most in [1, 3, 7, 8, 20] {
            let (some, read) = answer(PagePolicy { max_pages: Some(most), ..PagePolicy::default() });
            assert_eq!(read, PagesRead { read: most.min(8) as u64 * heads, of: 8 * heads }, "{family}");
            let distance = distance(&some, &all);
            assert_eq!(distance > 1e-4, most < 8, "{family}, {most} pages: {distance}");
            assert!(distance <= 1.5 * last, "{family}, {most} pages: {distance}, fewer: {last}");
            last = distance;
        }
    }
}

/// As an application does it: through a database that keeps key summaries.
#[test]
fn a_log_of_a_database_is_attached_by_its_pages() {
    let (generator, directory) = (model("llama"), tempfile::tempdir().unwrap());
    let log = log_of(&generator, &tokens(60, 2), ElementType::F16);
    for summaries in [true, false] {
        let options = Database::options().kv_storage(KvStorage::Encoding(Encoding::Int8)).key_summaries(summaries);
        let database = options.open(directory.path().join(format!("{summaries}.lagdb"))).unwrap();
        let scope = database.scope("agent").unwrap();
        let mut tx = scope.begin().unwrap();
        let id = tx.put(&Trajectory::new("task")).unwrap();
        tx.put_kv_log(id, &log).unwrap();
        tx.commit().unwrap();
        let stored = scope.snapshot().unwrap().kv_log(id, generator.fingerprint()).unwrap().unwrap();
        let policy = PagePolicy { max_pages: Some(1), ..PagePolicy::default() };
        let attached = session(&generator).attach_pages(&[stored], &policy);
        assert_eq!(attached.map(|attached| attached.n_tokens).ok(), summaries.then_some(60));
        assert!(database.verify(&mut |_| {}).unwrap().is_sound());
    }
}

/// What is proved to be negligible is left out; nothing is where nothing may be. How far weights may be off is held where they
/// are at hand; logits after several layers are measured to be nearer than that.
#[test]
fn negligible_pages_are_not_read() {
    // Keys of a trained model differ; those of random weights weigh about the same.
    let generator = Generator::load(concat!(env!("CARGO_MANIFEST_DIR"), "/tools/demo-model/kv")).unwrap();
    let n_vocab = generator.config().vocab_size as u32;
    let made_up = |n: u32, seed: u32| (0..n).map(|i| (i * 7919 + 13 + seed * 31) % n_vocab).collect::<Vec<_>>();
    let ids = made_up(20, 1);
    let log = log_of(&generator, &made_up(200, 2), ElementType::F16);
    let mut writer = SegmentWriter::new(1).with_page_bytes(8 * log.geometry().row_width() * 2).with_key_summaries();
    writer.push(&log, Encoding::Int8).unwrap();
    let log = view(&writer.finish().unwrap(), |_| {});
    let answer = |negligible| {
        let policy = PagePolicy { negligible, ..PagePolicy::default() };
        let mut session = by_pages(&generator, KvNumbers::F32, std::slice::from_ref(&log), &policy);
        (session.feed_for_logits(&ids).unwrap(), session.pages_read())
    };
    let (all, read) = answer(0.0);
    assert_eq!(read.read, read.of);
    let mut last = read.read;
    for negligible in [0.001, 0.05, 0.3] {
        let (some, read) = answer(negligible);
        let distance = distance(&some, &all);
        assert!(read.read <= last, "{negligible}: {} of {}", read.read, read.of);
        assert!(distance < negligible, "{negligible}: {distance}");
        last = read.read;
    }
    assert!(last < read.of, "something is negligible");
}

#[test]
fn forks_share_the_pages_and_go_their_own_ways() {
    let (generator, ids) = (model("qwen3"), tokens(8, 1));
    let log = paged(&generator, &tokens(100, 2), Encoding::Int8);
    let mut session = by_pages(&generator, KvNumbers::F32, std::slice::from_ref(&log), &PagePolicy::default());
    let mut fork = session.fork().unwrap();
    let expected = session.feed(&ids).unwrap();
    assert_eq!(fork.feed(&ids).unwrap(), expected);
    fork.attach_pages(&[log], &PagePolicy::default()).unwrap();
    assert_eq!((session.n_paged(), fork.n_paged()), (100, 200));
    let (one, two) = (session.feed(&ids).unwrap(), fork.feed(&ids).unwrap());
    assert!(distance(&one, &two) > 1e-3);
}

/// Rows from before see nothing of it, also when they are computed again; the text after it is captured like any other.
#[test]
fn only_what_comes_later_sees_the_pages() {
    let generator = model("llama");
    let mut session = holding(&generator, KvNumbers::F32);
    session.feed(&tokens(30, 1)).unwrap();
    let policy = CapturePolicy {
        budget: lagdb::generate::CaptureBudget::Tokens(7),
        importance: Importance::HeavyHitters,
        choice: Choice::Together,
        span: Selection::Tokens(0..30),
    };
    let before = session.capture_with(&policy, ElementType::F32).unwrap();
    let log = paged(&generator, &tokens(100, 2), Encoding::Int8);
    session.attach_pages(&[log], &PagePolicy::default()).unwrap();
    assert_eq!(session.capture_with(&policy, ElementType::F32).unwrap(), before);
    assert!(session.feed(&[]).unwrap_err().to_string().contains("no own token comes last"));
    session.feed(&tokens(9, 3)).unwrap();
    let own = session.capture(Selection::Tokens(30..39), ElementType::F32).unwrap();
    assert_eq!(own.positions(), (31..40).collect::<Vec<_>>(), "the log takes position 30");
}

/// Any byte of a log that is another than it was: refused at once, or one that is not read, and the session goes on as if
/// nothing had been asked.
#[test]
fn damaged_pages_are_refused_and_leave_the_session_as_it_was() {
    let (generator, ids) = (model("llama"), tokens(6, 1));
    let log = log_of(&generator, &tokens(50, 2), ElementType::F16);
    let mut writer = SegmentWriter::new(1).with_key_summaries();
    writer.push(&log, Encoding::Int8).unwrap();
    let segment = writer.finish().unwrap();
    let sound = view(&segment, |_| {});
    let n_bytes = sound.row_group().range().end - sound.row_group().range().start;
    let policy = PagePolicy { max_pages: Some(1), ..PagePolicy::default() };
    let mut untouched = holding(&generator, KvNumbers::F32);
    let expected = untouched.feed(&ids).unwrap();
    let opened = Segment::open(&segment).unwrap();
    let (mut refused, row_group) = (0, &opened.footer().row_groups()[0]);
    for at in (0..n_bytes as usize).step_by(97) {
        let start = row_group.range().start as usize;
        let mut bytes = segment[start..row_group.range().end as usize].to_vec();
        bytes[at] ^= 0x10;
        let Ok(damaged) = KvLogView::new(row_group, Bytes::from(bytes)) else { continue };
        let mut session = holding(&generator, KvNumbers::F32);
        match session.attach_pages(&[sound.clone(), damaged], &policy) {
            Err(Error::Corrupt { .. }) => refused += 1,
            Err(error) => panic!("byte {at}: {error}"),
            // What lies between pages says nothing.
            Ok(_) => continue,
        }
        assert_eq!((session.n_tokens(), session.n_paged()), (0, 0));
        assert_eq!(session.feed(&ids).unwrap(), expected, "byte {at}");
    }
    assert!(refused > 50, "{refused}");
}

#[test]
fn what_cannot_be_attached_by_pages_says_what_to_do() {
    let generator = model("llama");
    let mut session = session(&generator);
    let mut words = |log: KvLogView<'static>, policy: &PagePolicy| {
        let error = session.attach_pages(&[log], policy).unwrap_err();
        assert!(matches!(error, Error::Invalid { .. } | Error::ModelMismatch { .. }), "{error}");
        assert_eq!((session.n_tokens(), session.n_paged()), (0, 0));
        error.to_string()
    };
    let (all, one) = (PagePolicy::default(), PagePolicy { max_pages: Some(1), ..PagePolicy::default() });
    for encoding in [Encoding::Plain, Encoding::Int4, Encoding::ExponentHuffman] {
        let found = words(paged(&generator, &tokens(20, 1), encoding), &all);
        assert!(found.contains(encoding.name()) && found.contains("write it as int8"), "{found}");
    }
    let int8 = paged(&generator, &tokens(90, 1), Encoding::Int8);
    assert!(words(int8.prefix(40), &all).contains("tokens were left out"));
    assert!(words(paged(&model("qwen3"), &tokens(20, 1), Encoding::Int8), &all).contains("model"));
    let log = log_of(&generator, &tokens(20, 1), ElementType::F16);
    let without = |log: &KvLog| {
        let mut writer = SegmentWriter::new(1);
        writer.push(log, Encoding::Int8).unwrap();
        view(&writer.finish().unwrap(), |_| {})
    };
    assert!(words(without(&log), &one).contains("Options::key_summaries"));
    let policy = CapturePolicy {
        budget: lagdb::generate::CaptureBudget::Tokens(7),
        importance: Importance::KeyNorm,
        choice: Choice::PerHead,
        span: Selection::Tokens(0..20),
    };
    let mut source = crate::generate_support::session(&generator);
    source.feed(&tokens(20, 1)).unwrap();
    let ragged = source.capture_with(&policy, ElementType::F16).unwrap();
    assert!(words(without(&ragged), &all).contains("its own tokens"));
    let loud = Emphasis { bias: 1.0, ..Emphasis::default() };
    for policy in [
        PagePolicy { max_pages: Some(0), ..all },
        PagePolicy { negligible: 1.0, ..all },
        PagePolicy { negligible: f32::NAN, ..all },
        PagePolicy { negligible: 0.1, emphasis: loud, ..all },
        PagePolicy { emphasis: Emphasis { temperature: 0.0, ..loud }, ..all },
    ] {
        assert!(words(int8.clone(), &policy).contains("page policy"), "{policy:?}");
    }
    assert_eq!(session.attach_pages(&[], &all).unwrap().n_tokens, 0);
}
