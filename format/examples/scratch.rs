use lagdb_format::*;
use std::time::Instant;
struct R(u64);
impl R {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
    fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 24) as f32
    }
    fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.unit()).sum::<f32>() - 6.0
    }
}
fn cpu() -> f64 {
    let s = std::fs::read_to_string("/proc/self/schedstat").unwrap();
    s.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}
fn main() {
    let a: Vec<String> = std::env::args().collect();
    for (g, gn) in [
        (KvGeometry { n_layers: 4, n_kv_heads: 8, head_dim: 64 }, "llama"),
        (KvGeometry { n_layers: 4, n_kv_heads: 8, head_dim: 128 }, "qwen"),
    ] {
        let nt = 512;
        let w = g.row_width();
        let mut r = R(1);
        let mut cols: Vec<Vec<f32>> = vec![];
        for _ in 0..g.n_layers * 2 {
            let mut o = vec![0f32; nt * w];
            let ch: Vec<(f32, f32)> = (0..w)
                .map(|_| {
                    let s = if r.unit() < 0.02 { 12.0 } else { 1.0 };
                    if a.len() > 1 { (r.normal() * s, (0.2 + r.unit()) * s) } else { (0.0, s) }
                })
                .collect();
            for t in 0..nt {
                for c in 0..w {
                    o[t * w + c] = ch[c].0 + ch[c].1 * r.normal();
                }
            }
            cols.push(o);
        }
        for e in [ElementType::F16, ElementType::Bf16, ElementType::F32] {
            let layers = (0..g.n_layers as usize)
                .map(|l| KvLayer {
                    keys: e.encode_f32(&cols[2 * l]).unwrap(),
                    values: e.encode_f32(&cols[2 * l + 1]).unwrap(),
                })
                .collect();
            let d = Digest([0; 32]);
            let fp = ModelFingerprint {
                weights: d,
                config: d,
                tokenizer: d,
                rope: d,
                geometry: g,
                capture: CaptureStage::BeforeRope,
            };
            let ids: Vec<u32> = (0..nt as u32).collect();
            let log = KvLog::new(fp, e, ids.clone(), ids, layers).unwrap();
            let raw = (nt * w * e.n_bytes() * 2 * g.n_layers as usize) as f64;
            // baseline absmax int4 per token
            let mut bd = [0f64; 2];
            let mut bx = [0f64; 2];
            for (i, c) in cols.iter().enumerate() {
                for row in c.chunks(w) {
                    let m = row.iter().fold(0f32, |a, x| a.max(x.abs()));
                    let s = m / 7.0;
                    for x in row {
                        let y = (x / s).round() * s;
                        bd[i % 2] += ((x - y) as f64).powi(2);
                        bx[i % 2] += (*x as f64).powi(2);
                    }
                }
            }
            println!("{gn} {e:?} baseline absmax int4 K {:.4} V {:.4}", (bd[0] / bx[0]).sqrt(), (bd[1] / bx[1]).sqrt());
            for enc in Encoding::ALL {
                if enc.is_residual() {
                    continue;
                }
                let mut best = (0f64, 0f64);
                let mut stored = 0usize;
                let mut out = vec![0f32; nt * w];
                let mut err = [0f64; 2];
                let mut seg = vec![];
                let mut writer = SegmentWriter::new(1);
                let t = cpu();
                for _ in 0..8 {
                    writer.push(&log, enc).unwrap();
                    writer
                        .drain(|b| {
                            stored = b.len();
                            Ok::<(), ()>(())
                        })
                        .unwrap();
                }
                best.0 = 8.0 * raw / 1e9 / (cpu() - t);
                let mut wr = SegmentWriter::new(1);
                let ix = wr.push(&log, enc).unwrap();
                seg.extend(wr.finish().unwrap());
                let s = Segment::open(&seg).unwrap();
                let v = s.kv_log(ix).unwrap();
                let gb = (nt * w * 4 * g.n_layers as usize) as f64 / 1e9;
                let n = 60;
                let mut kv = [0f64; 2];
                for p in 0..2 {
                    let t = cpu();
                    for _ in 0..n {
                        for l in 0..g.n_layers {
                            if p == 0 {
                                v.read_keys(l, &mut out).unwrap()
                            } else {
                                v.read_values(l, &mut out).unwrap()
                            };
                        }
                    }
                    kv[p] = gb * n as f64 / (cpu() - t);
                }
                best.1 = 2.0 / (1.0 / kv[0] + 1.0 / kv[1]);
                print!("  [K {:.2} V {:.2}]", kv[0], kv[1]);
                for l in 0..g.n_layers as usize {
                    for p in 0..2 {
                        if p == 0 {
                            v.read_keys(l as u32, &mut out).unwrap()
                        } else {
                            v.read_values(l as u32, &mut out).unwrap()
                        };
                        let c = &cols[2 * l + p];
                        let (mut dd, mut xx) = (0f64, 0f64);
                        for (x, y) in c.iter().zip(&out) {
                            dd += ((x - y) as f64).powi(2);
                            xx += (*x as f64).powi(2);
                        }
                        err[p] += (dd / xx).sqrt() / g.n_layers as f64;
                    }
                }
                println!(
                    "  {:16} ratio {:.3} encode {:.2} decode_f32 {:.2} (raw {:.2}) GB/s err K {:.4} V {:.4}",
                    enc.name(),
                    raw / seg.len() as f64,
                    best.0,
                    best.1,
                    best.1 * e.n_bytes() as f64 / 4.0,
                    err[0],
                    err[1]
                );
                let _ = stored;
            }
        }
    }
}
