//! The model whose geometry is measured.

/// Qwen3-0.6B but for its vocabulary: the embedding table takes no part in what is measured.
pub(crate) const CONFIG: &str = r#"{
    "model_type": "qwen3", "vocab_size": 1024, "hidden_size": 1024, "intermediate_size": 3072,
    "num_hidden_layers": 28, "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128,
    "rms_norm_eps": 1e-6, "rope_theta": 1000000.0, "max_position_embeddings": 40960,
    "tie_word_embeddings": true, "attention_bias": false, "hidden_act": "silu"
}"#;
