//! The gate of the feed-forward layer: `silu(gate) · up`, elementwise. Shazeer, 2020,
//! <https://arxiv.org/abs/2002.05202>.

use super::floats;
use super::math::sigmoid;
use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor};

/// `silu(gate) · up`.
pub(crate) fn swiglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    gate.apply_op2(up, SwiGlu)
}

struct SwiGlu;

impl CustomOp2 for SwiGlu {
    fn name(&self) -> &'static str {
        "swiglu"
    }

    fn cpu_fwd(&self, g: &CpuStorage, gl: &Layout, u: &CpuStorage, ul: &Layout) -> Result<(CpuStorage, Shape)> {
        let (gate, up) = (floats(g, gl)?, floats(u, ul)?);
        let y = gate.iter().zip(up).map(|(g, u)| g * sigmoid(*g) * u).collect();
        Ok((CpuStorage::F32(y), gl.shape().clone()))
    }

    fn bwd(&self, gate: &Tensor, up: &Tensor, _: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let dgate = gate.apply_op3_no_bwd(up, dy, &ByGate)?;
        let dup = gate.apply_op2_no_bwd(dy, &SwiGlu)?;
        Ok((Some(dgate), Some(dup)))
    }
}

/// `dgate = dy up s (1 + gate (1 - s))`, with `s` the sigmoid of the gate.
struct ByGate;

impl CustomOp3 for ByGate {
    fn name(&self) -> &'static str {
        "swiglu-by-gate"
    }

    fn cpu_fwd(
        &self,
        gate: &CpuStorage,
        gl: &Layout,
        up: &CpuStorage,
        ul: &Layout,
        dy: &CpuStorage,
        dyl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (gate, up, dy) = (floats(gate, gl)?, floats(up, ul)?, floats(dy, dyl)?);
        let slope = |g: f32| {
            let s = sigmoid(g);
            s * (1.0 + g * (1.0 - s))
        };
        let dgate = gate.iter().zip(up).zip(dy).map(|((g, u), dy)| dy * u * slope(*g)).collect();
        Ok((CpuStorage::F32(dgate), gl.shape().clone()))
    }
}
