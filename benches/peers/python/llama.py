"""llama.cpp's sequence state: saved and loaded in memory, one thread, CPU seconds of this process.

The model is one of random weights, so narrow that only its keys and values are large.
One JSON request a line, one JSON answer a line; see `python.rs`.
  {"n_layers", "n_kv_heads", "head_dim", "n_tokens"}  {"n_bytes", "save_s", "load_s", "exact"}
"""

import ctypes
import json
import os
import sys
import tempfile
import time

PIP = "pip install llama-cpp-python==0.3.36 gguf==0.19.0 (builds llama.cpp: needs a C++ compiler)"
WIDTH = 64
FFN = 64
VOCAB = 64


def write_model(path, n_layers, n_kv_heads, head_dim):
    import gguf
    import numpy

    random = numpy.random.default_rng(1)

    def tensor(*shape):
        return (random.standard_normal(shape) * 0.1).astype(numpy.float32)

    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(4096)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(n_layers)
    writer.add_feed_forward_length(FFN)
    writer.add_head_count(n_kv_heads)
    writer.add_head_count_kv(n_kv_heads)
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_rope_dimension_count(head_dim)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(VOCAB)
    writer.add_tokenizer_model("no_vocab")
    row = n_kv_heads * head_dim
    writer.add_tensor("token_embd.weight", tensor(VOCAB, WIDTH))
    writer.add_tensor("output_norm.weight", tensor(WIDTH))
    writer.add_tensor("output.weight", tensor(VOCAB, WIDTH))
    for i in range(n_layers):
        for name, shape in {
            "attn_norm": (WIDTH,),
            "attn_q": (row, WIDTH),
            "attn_k": (row, WIDTH),
            "attn_v": (row, WIDTH),
            "attn_output": (WIDTH, row),
            "ffn_norm": (WIDTH,),
            "ffn_gate": (FFN, WIDTH),
            "ffn_up": (FFN, WIDTH),
            "ffn_down": (WIDTH, FFN),
        }.items():
            writer.add_tensor(f"blk.{i}.{name}.weight", tensor(*shape))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


class Sequence:
    """A context that has computed the keys and values of some tokens."""

    def __init__(self, lib, n_layers, n_kv_heads, head_dim, n_tokens):
        self.lib = lib
        directory = tempfile.mkdtemp()
        path = os.path.join(directory, "random.gguf")
        write_model(path, n_layers, n_kv_heads, head_dim)
        self.model = lib.llama_model_load_from_file(path.encode(), lib.llama_model_default_params())
        os.unlink(path)
        os.rmdir(directory)
        assert self.model, "the model does not load"
        params = lib.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch = n_tokens, 512, 512
        params.n_threads = params.n_threads_batch = 1
        self.context = lib.llama_init_from_model(self.model, params)
        assert self.context, "no context"
        for start in range(0, n_tokens, 512):
            ids = [(7 * i) % VOCAB for i in range(start, min(start + 512, n_tokens))]
            tokens = (ctypes.c_int32 * len(ids))(*ids)  # the batch only points to them
            status = lib.llama_decode(self.context, lib.llama_batch_get_one(tokens, len(ids)))
            assert status == 0, f"it does not decode: {status}"
        self.size = lib.llama_state_seq_get_size(self.context, 0)
        self.state = (ctypes.c_uint8 * self.size)()
        self.again = (ctypes.c_uint8 * self.size)()

    def measure(self):
        lib = self.lib
        start = time.process_time()
        saved = lib.llama_state_seq_get_data(self.context, self.state, self.size, 0)
        middle = time.process_time()
        loaded = lib.llama_state_seq_set_data(self.context, self.state, self.size, 0)
        end = time.process_time()
        same = lib.llama_state_seq_get_data(self.context, self.again, self.size, 0)
        exact = saved == loaded == same == self.size and bytes(self.state) == bytes(self.again)
        return {"n_bytes": self.size, "save_s": middle - start, "load_s": end - middle, "exact": exact}


def main():
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer

    def answer(value):
        print(json.dumps(value), file=answers, flush=True)

    try:
        import gguf  # noqa: F401
        import llama_cpp as lib
    except (ImportError, OSError, RuntimeError) as error:
        answer({"ready": [], "absent": {"llama.cpp": f"{PIP} ({error})"}})
        return
    quiet = lib.llama_log_callback(lambda level, text, data: None)
    lib.llama_log_set(quiet, None)
    lib.llama_backend_init()
    answer({"ready": ["llama.cpp"], "absent": {}})
    sequences = {}
    for line in sys.stdin:
        try:
            request = json.loads(line)
            key = tuple(request[name] for name in ("n_layers", "n_kv_heads", "head_dim", "n_tokens"))
            if key not in sequences:
                sequences[key] = Sequence(lib, *key)
            answer(sequences[key].measure())
        except Exception as error:  # the bench fails with these words
            answer({"error": f"{line.strip()}: {error!r}"})


main()
