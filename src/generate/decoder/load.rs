//! From named tensors to a decoder: the names and shapes that transformers gives the weights of all these families.

use super::{Decoder, Layer};
use crate::error::Result;
use crate::generate::attention::{Attention, QkNorm};
use crate::generate::config::ModelConfig;
use crate::generate::fingerprint::WeightDigests;
use crate::generate::linear::Linear;
use crate::generate::matrix::{Matrix, Purpose};
use crate::generate::mlp::Mlp;
use crate::generate::precision::{Fallback, Requantized, WeightPrecision, WeightsInfo, type_name};
use crate::generate::rms_norm::RmsNorm;
use crate::generate::rope::Rope;
use crate::generate::tensor;
use crate::generate::weights::{Taken, TensorSource};
use lagdb_format::Digest;

impl Decoder {
    /// Takes the tensors that `config` asks for, its matrices as `precision` wants them; also gives their digest.
    ///
    /// # Errors
    /// [`Error::Model`](crate::Error::Model) naming the first tensor that is missing or has another shape.
    pub(in crate::generate) fn new(
        config: ModelConfig,
        weights: &mut dyn TensorSource,
        precision: WeightPrecision,
    ) -> Result<(Self, Digest)> {
        let (info, digests) = (WeightsInfo::default(), WeightDigests::default());
        let mut source = Source { config: &config, weights, precision, info, digests };
        let (vocab, width) = (config.vocab_size, config.hidden_size);
        let purpose = if config.tied_embeddings { Purpose::RowsAndHead } else { Purpose::Rows };
        let embedding = source.matrix("model.embed_tokens.weight", [vocab, width], purpose)?;
        let layers = (0..config.layers.len()).map(|i| source.layer(i)).collect::<Result<_>>()?;
        let norm = source.norm("model.norm", width)?;
        let head = match config.tied_embeddings {
            true => {
                source.digests.add_again("model.embed_tokens.weight", "lm_head.weight");
                Linear { weight: embedding.clone(), bias: None }
            }
            false => Linear { weight: source.matrix("lm_head.weight", [vocab, width], Purpose::Head)?, bias: None },
        };
        let (weights, digest) = (source.info, source.digests.digest());
        let rope = Rope::new(&config.rope, config.head_dim);
        Ok((Self { rope, embedding, layers, norm, head, config, weights }, digest))
    }
}

struct Source<'a> {
    config: &'a ModelConfig,
    weights: &'a mut dyn TensorSource,
    precision: WeightPrecision,
    info: WeightsInfo,
    digests: WeightDigests,
}

impl Source<'_> {
    fn layer(&mut self, layer: usize) -> Result<Layer> {
        let prefix = format!("model.layers.{layer}");
        let width = self.config.hidden_size;
        Ok(Layer {
            attention_norm: self.norm(&format!("{prefix}.input_layernorm"), width)?,
            attention: self.attention(layer, &format!("{prefix}.self_attn"))?,
            mlp_norm: self.norm(&format!("{prefix}.post_attention_layernorm"), width)?,
            mlp: self.mlp(&format!("{prefix}.mlp"))?,
        })
    }

    fn attention(&mut self, layer: usize, prefix: &str) -> Result<Attention> {
        let &ModelConfig { hidden_size, n_heads, n_kv_heads, head_dim, bias, .. } = self.config;
        let (all, shared) = (n_heads * head_dim, n_kv_heads * head_dim);
        Ok(Attention {
            query: self.linear(&format!("{prefix}.q_proj"), [hidden_size, all], bias.qkv)?,
            key: self.linear(&format!("{prefix}.k_proj"), [hidden_size, shared], bias.qkv)?,
            value: self.linear(&format!("{prefix}.v_proj"), [hidden_size, shared], bias.qkv)?,
            output: self.linear(&format!("{prefix}.o_proj"), [all, hidden_size], bias.output)?,
            norms: self.config.qk_norm.then(|| self.qk_norm(prefix)).transpose()?,
            n_heads,
            n_kv_heads,
            head_dim,
            rope: self.config.layers[layer].rope,
            windowed: self.config.layers[layer].window.is_some(),
        })
    }

    fn qk_norm(&mut self, prefix: &str) -> Result<QkNorm> {
        let head_dim = self.config.head_dim;
        Ok(QkNorm {
            query: self.norm(&format!("{prefix}.q_norm"), head_dim)?,
            key: self.norm(&format!("{prefix}.k_norm"), head_dim)?,
        })
    }

    fn mlp(&mut self, prefix: &str) -> Result<Mlp> {
        let &ModelConfig { hidden_size, intermediate_size, bias, .. } = self.config;
        Ok(Mlp {
            gate: self.linear(&format!("{prefix}.gate_proj"), [hidden_size, intermediate_size], bias.mlp)?,
            up: self.linear(&format!("{prefix}.up_proj"), [hidden_size, intermediate_size], bias.mlp)?,
            down: self.linear(&format!("{prefix}.down_proj"), [intermediate_size, hidden_size], bias.mlp)?,
        })
    }

    fn linear(&mut self, name: &str, [n_in, n_out]: [usize; 2], bias: bool) -> Result<Linear> {
        let weight = self.matrix(&format!("{name}.weight"), [n_out, n_in], Purpose::Products)?;
        let bias = bias.then(|| self.vector(&format!("{name}.bias"), n_out)).transpose()?;
        Ok(Linear { weight, bias: bias.map(|bias| tensor::own(bias, n_out)).transpose()? })
    }

    fn matrix(&mut self, name: &str, shape: [usize; 2], purpose: Purpose) -> Result<Matrix> {
        let Taken { mut matrix, was } = self.weights.matrix(name, shape, self.precision)?;
        let [n_out, n_in] = shape;
        self.digests.add_matrix(name, &matrix)?; // while its bytes are there
        matrix.settle(purpose)?;
        self.info.add_matrix(matrix.dtype(), n_out * n_in, matrix.n_bytes());
        let type_name = type_name(matrix.dtype());
        if self.precision.misses(n_in) {
            self.info.fallbacks.push(Fallback { tensor: name.to_owned(), n_in, name: type_name });
        }
        if let Some(was) = was {
            self.info.requantized.push(Requantized { tensor: name.to_owned(), was, name: type_name });
        }
        Ok(matrix)
    }

    fn norm(&mut self, name: &str, width: usize) -> Result<RmsNorm> {
        let weight = self.vector(&format!("{name}.weight"), width)?;
        Ok(RmsNorm { weight, eps: self.config.rms_norm_eps as f32 })
    }

    fn vector(&mut self, name: &str, width: usize) -> Result<Vec<f32>> {
        self.info.add_numbers(width);
        let numbers = self.weights.numbers(name, &[width])?;
        self.digests.add_numbers(name, &numbers);
        Ok(numbers)
    }
}
