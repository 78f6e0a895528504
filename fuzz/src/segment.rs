//! Segments: any bytes read as one, and any log written to one.

use lagdb_format::segment::reseal;
use lagdb_format::{
    CaptureStage, Digest, ElementType, Encoding, Footer, FormatError, HeadTokens, KvGeometry, KvLayer, KvLog,
    KvLogView, KvRead, ModelFingerprint, Part, Segment, SegmentWriter,
};

/// Logs that decode to more are opened and not read: it would only be slow.
const MAX_DECODED_BYTES: u64 = 1 << 24;

/// Any bytes, as they are and with their checksums made right, are read or refused.
pub fn segment_read(data: &[u8]) {
    read(data);
    let mut sealed = data.to_vec();
    reseal(&mut sealed);
    read(&sealed);
}

/// Any bytes as the footer of a segment without row groups, under right checksums, are read or refused; what is read
/// names no bytes outside the file.
pub fn footer(data: &[u8]) {
    let Some((version, content)) = data.split_first() else { return };
    let mut file = vec![0; 64];
    file.extend_from_slice(content);
    // The tail as FORMAT.md has it: footer offset, segment id, version, features, footer bytes.
    let mut tail = [64_u64.to_le_bytes(), 7_u64.to_le_bytes()].concat();
    tail.extend_from_slice(&[*version, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    tail.extend_from_slice(&(content.len() as u32).to_le_bytes());
    tail.resize(56, 0);
    tail.extend_from_slice(&lagdb_format::segment::END_MAGIC);
    file.extend_from_slice(&tail);
    reseal(&mut file);
    let n_bytes = file.len() as u64;
    let tail = &file[file.len() - Footer::tail_bytes()..];
    let Ok(range) = Footer::locate(tail, n_bytes) else { return };
    let found = range.range();
    match Footer::parse(&file[found.start as usize..found.end as usize], &range, 7) {
        Ok(footer) => assert!(footer.row_groups().iter().all(|row_group| row_group.range().end <= found.start)),
        Err(error) => assert!(!matches!(error, FormatError::Invalid { .. }), "the caller is blamed: {error}"),
    }
}

fn read(bytes: &[u8]) {
    let Ok(segment) = Segment::open(bytes) else { return };
    if segment.footer().row_groups().iter().any(|row_group| row_group.decoded_bytes() > MAX_DECODED_BYTES) {
        return;
    }
    let is_sound = segment.verify().is_sound();
    for row_group in segment.footer().row_groups() {
        let log = segment.kv_log(row_group.index()).and_then(|view| Ok((view.to_log()?, view)));
        match log {
            Ok((log, view)) => read_in_every_way(&view, &log),
            Err(error) => {
                assert!(!is_sound, "verify did not find {error}");
                assert!(!matches!(error, FormatError::Invalid { .. }), "the caller is blamed: {error}");
            }
        }
    }
}

/// Every way of reading agrees with the log in memory, and the log can be written again in every way.
fn read_in_every_way(view: &KvLogView<'_>, log: &KvLog) {
    assert!(view.pages().all(|page| page.is_sound));
    // In memory, what a lossy page says is rounded to the log's own type.
    if !view.is_approximate() {
        assert_eq!(numbers(view), numbers(log));
    }
    read_in_part(view, log);
    let mut writer = SegmentWriter::new(1);
    writer.push_view(view).expect("a log that can be read can be copied");
    for encoding in Encoding::LOSSLESS {
        writer.push(log, encoding).expect("a log that can be read can be written");
    }
    let bytes = writer.finish().expect("a small segment can be finished");
    // Key summaries that say too little are copied as they are.
    let is_summary = |fault: &FormatError| matches!(fault, FormatError::Corrupt { field: "key summaries", .. });
    assert_holds(&bytes, &vec![log; 1 + Encoding::LOSSLESS.len()], is_summary);
}

/// The first half of the tokens, alone and gathered, and what is known of the pages.
fn read_in_part(view: &KvLogView<'_>, log: &KvLog) {
    let n_tokens = log.n_tokens() / 2;
    let prefix = view.prefix(n_tokens).to_log().expect("a prefix of a log that can be read");
    assert_eq!(prefix.token_ids(), &log.token_ids()[..n_tokens]);
    view.key_summaries(0).expect("summaries of a sound log");
    if log.heads().is_none() {
        let row_bytes = log.geometry().row_width() * log.element().n_bytes();
        let mut out = vec![0; n_tokens * row_bytes];
        let tokens: Vec<u32> = (0..n_tokens as u32).rev().collect();
        view.gather(0, Part::Values, &tokens, &mut out[..]).expect("tokens of a sound log");
        let values = &log.layers()[0].values[..n_tokens * row_bytes];
        assert!(values.chunks_exact(row_bytes).rev().eq(out.chunks_exact(row_bytes)));
    }
}

fn numbers(log: &dyn KvRead) -> Vec<u32> {
    let mut bits = Vec::new();
    for layer in 0..log.geometry().n_layers {
        let mut out = vec![0.0_f32; log.layer_numbers(layer).expect("a layer of the log")];
        log.read_keys(layer, &mut out).expect("keys of a sound log");
        bits.extend(out.iter().map(|x| x.to_bits()));
        log.read_values(layer, &mut out).expect("values of a sound log");
        bits.extend(out.iter().map(|x| x.to_bits()));
    }
    bits
}

fn assert_holds(bytes: &[u8], logs: &[&KvLog], is_known: impl Fn(&FormatError) -> bool) {
    let segment = Segment::open(bytes).expect("a segment just written opens");
    let faults = segment.verify().faults;
    assert!(faults.iter().all(is_known), "{faults:?}");
    assert_eq!(segment.footer().row_groups().len(), logs.len());
    for (row_group, log) in segment.footer().row_groups().iter().zip(logs) {
        let view = segment.kv_log(row_group.index()).expect("a log just written is found");
        let read = view.to_log().expect("a log just written is read");
        if view.is_approximate() {
            assert_eq!((read.token_ids(), read.positions()), (log.token_ids(), log.positions()));
        } else {
            assert_eq!(read, **log);
        }
    }
}

/// Any log comes back, and after any one flipped bit it comes back or is refused.
pub fn segment_round_trip(data: &[u8]) {
    let Some((choice, data)) = data.split_first_chunk::<12>() else { return };
    let log = log(choice, data);
    let encoding = Encoding::LOSSLESS[usize::from(choice[1]) % Encoding::LOSSLESS.len()];
    let mut writer = SegmentWriter::new(u64::from(choice[7])).with_page_bytes(usize::from(choice[6]) * 4);
    if choice[1] & 0x80 != 0 && log.geometry().head_dim.is_multiple_of(2) {
        writer = writer.with_key_summaries();
    }
    writer.push(&log, encoding).expect("a small log is written");
    let mut bytes = writer.finish().expect("a small segment is finished");
    assert_holds(&bytes, &[&log], |_| false);

    let sound = Segment::open(&bytes).and_then(|segment| segment.kv_log(lagdb_format::RowGroupIndex(0))?.to_log());

    let bit = u32::from_le_bytes([choice[8], choice[9], choice[10], choice[11]]) as usize % (bytes.len() * 8);
    bytes[bit / 8] ^= 1 << (bit % 8);
    let read = Segment::open(&bytes).and_then(|segment| {
        assert!(!segment.verify().is_sound(), "bit {bit} is not found");
        segment.kv_log(lagdb_format::RowGroupIndex(0))?.to_log()
    });
    match read {
        Ok(read) => assert_eq!(Ok(read), sound, "bit {bit} changed a number"),
        Err(error) => assert!(!matches!(error, FormatError::Invalid { .. }), "the caller is blamed: {error}"),
    }
}

/// A log shaped by `choice` whose bytes are those of `data`, over and over.
fn log(choice: &[u8; 12], data: &[u8]) -> KvLog {
    let element = [ElementType::F32, ElementType::F16, ElementType::Bf16][usize::from(choice[0] % 3)];
    let size = |i: usize, most: u8| u32::from(choice[i] % most) + 1;
    let geometry = KvGeometry { n_layers: size(2, 3), n_kv_heads: size(3, 3), head_dim: size(4, 9) };
    let n_tokens = u32::from(choice[5] % 24);
    let digest = Digest([choice[7]; 32]);
    let fingerprint = ModelFingerprint {
        weights: digest,
        config: digest,
        tokenizer: digest,
        rope: digest,
        adapters: None,
        geometry,
        capture: CaptureStage::BeforeRope,
    };
    let mut bytes = data.iter().copied().cycle();
    let chunk_bytes = n_tokens as usize * geometry.row_width() * element.n_bytes();
    let positions: Vec<u32> = (0..n_tokens).map(|token| token * 2 + u32::from(choice[6])).collect();
    let heads = HeadTokens::new(geometry, n_tokens, |layer, head, token| (layer + head * token) % 3 != 0);
    let is_ragged = choice[1] & 0x40 != 0;
    let n_bytes = |layer| match is_ragged {
        true => heads.n_rows_of(layer) as usize * geometry.head_dim as usize * element.n_bytes(),
        false => chunk_bytes,
    };
    let mut chunk = |n_bytes| (0..n_bytes).map(|_| bytes.next().unwrap_or(0)).collect::<Vec<_>>();
    let sizes = (0..geometry.n_layers).map(n_bytes);
    let layers = sizes.map(|n_bytes| KvLayer { keys: chunk(n_bytes), values: chunk(n_bytes) }).collect();
    let ids = (0..n_tokens).collect();
    let log = match is_ragged {
        true => KvLog::ragged(fingerprint, element, ids, positions, heads, layers),
        false => KvLog::new(fingerprint, element, ids, positions, layers),
    };
    let log = log.expect("lengths agree");
    if choice[1] & 0x20 == 0 {
        return log;
    }
    let importance: Vec<f32> = (0..n_tokens).map(|token| (token * 7 % 11) as f32).collect();
    log.with_importance(&importance).expect("one score per token")
}
