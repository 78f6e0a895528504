"""Lossless peers that speak Python: Blosc2 and ZipNN, one thread, CPU seconds of their own process.

One JSON request a line, one JSON answer a line; see `python.rs`.
  {"load": PATH, "lengths": [..], "element": "f16"}  the buffers, one after the other in one file
  {"measure": NAME}                                  {"stored", "encode_s", "decode_s", "exact"} over all buffers
"""

import importlib
import json
import sys
import time

PINNED = {"blosc2": "4.14.1", "zipnn": "0.5.4"}


def blosc2_codec(codec):
    import blosc2

    blosc2.set_nthreads(1)
    settings = dict(typesize=2, codec=codec, clevel=1, filters=[blosc2.Filter.SHUFFLE], nthreads=1)

    def encode(raw, element):
        return blosc2.compress2(raw, **dict(settings, typesize=WIDTHS[element]))

    def decode(stored, out, element):
        blosc2.decompress2(stored, dst=out, nthreads=1)
        return out

    return encode, decode


def zipnn_codec():
    import zipnn

    names = {"f16": "float16", "bf16": "bfloat16", "f32": "float32"}

    def encode(raw, element):
        coder = zipnn.ZipNN(input_format="byte", bytearray_dtype=names[element], threads=1)
        # It splits the signs off inside the caller's buffer, which is why `measure` hands it a copy.
        return coder.compress(raw)

    def decode(stored, out, element):
        coder = zipnn.ZipNN(input_format="byte", bytearray_dtype=names[element], threads=1)
        return coder.decompress(stored)

    return encode, decode


WIDTHS = {"f16": 2, "bf16": 2, "f32": 4}


def peers():
    found, absent = {}, {}
    for package, makers in {
        "blosc2": {
            "Blosc2 zstd": lambda: blosc2_codec(importlib.import_module("blosc2").Codec.ZSTD),
            "Blosc2 lz4": lambda: blosc2_codec(importlib.import_module("blosc2").Codec.LZ4),
        },
        "zipnn": {"ZipNN": zipnn_codec},
    }.items():
        for name, make in makers.items():
            try:
                found[name] = make()
            except (ImportError, OSError) as error:
                absent[name] = f"pip install {package}=={PINNED[package]} ({error})"
    return found, absent


def measure(codec, buffers, element):
    encode, decode = codec
    stored, encode_s, decode_s, exact = 0, 0.0, 0.0, True
    for raw in buffers:
        copy, out = bytearray(raw), bytearray(len(raw))
        start = time.process_time()
        packed = encode(copy, element)
        encoded = time.process_time()
        unpacked = decode(packed, out, element)
        decode_s += time.process_time() - encoded
        encode_s += encoded - start
        stored += len(packed)
        exact = exact and unpacked == raw
    return {"stored": stored, "encode_s": encode_s, "decode_s": decode_s, "exact": exact}


def main():
    answers = sys.stdout
    sys.stdout = sys.stderr  # what libraries print is no answer
    found, absent = peers()
    buffers, element = [], "f16"

    def answer(value):
        print(json.dumps(value), file=answers, flush=True)

    answer({"ready": list(found), "absent": absent})
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if "load" in request:
                element = request["element"]
                with open(request["load"], "rb") as file:
                    buffers = [file.read(n) for n in request["lengths"]]
                answer({"n_bytes": sum(map(len, buffers))})
            else:
                answer(measure(found[request["measure"]], buffers, element))
        except Exception as error:  # the bench fails with these words
            answer({"error": f"{request}: {error!r}"})


main()
