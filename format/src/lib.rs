//! The KV segment format: keys and values of selected tokens, by layer.
