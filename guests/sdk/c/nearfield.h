/* nearfield.h: write nearfield stream functions in C. The contract is docs/abi.md, version 1.
 *
 * One header, no C library, for clang (or zig cc) and wasm32-freestanding or wasm32-wasi:
 *
 *     #include "nearfield.h"
 *
 *     static const char *handle(void) {
 *         nf_bytes payload = nf_payload();
 *         return nf_emit(nf_frame_tag() + 1, payload.data, payload.size) ? "the host refused the frame" : 0;
 *     }
 *     NEARFIELD_HANDLER(handle)
 *
 * A handler returns 0 when the frame is done, or the reason why it failed as a zero-terminated UTF-8 text.
 * Functions named nf_frame_..., nf_emit, nf_emit_to, nf_fail, nf_log, nf_observe, nf_model_... are the host's own; the
 * rest is small code in this header. Sizes are in bytes. The host keeps no pointer after a call returned.
 */
#ifndef NEARFIELD_H
#define NEARFIELD_H

#if !defined(__wasm__)
#error "nearfield.h: compile for wasm32, e.g. -target wasm32-freestanding"
#endif

typedef __UINT8_TYPE__ nf_u8;
typedef __UINT32_TYPE__ nf_u32;
typedef __UINT64_TYPE__ nf_u64;
typedef __INT32_TYPE__ nf_i32;
typedef __SIZE_TYPE__ nf_size;

#ifdef __cplusplus
#define NF_API extern "C"
#define NF_CHECK static_assert
#else
#define NF_API extern
#define NF_CHECK _Static_assert
#endif
#define NF_FROM(module, name) __attribute__((import_module(module), import_name(name)))
#define NF_EXPORT(name) __attribute__((export_name(name)))

/* ---- The frame being handled. Reading functions return the full size, and copy only when 0 < size <= limit. ---- */

NF_API NF_FROM("nearfield_v1", "frame_tag") nf_u32 nf_frame_tag(void);
NF_API NF_FROM("nearfield_v1", "frame_size") nf_size nf_frame_size(void);
NF_API NF_FROM("nearfield_v1", "frame_read") nf_size nf_frame_read(void *to, nf_size limit);
NF_API NF_FROM("nearfield_v1", "frame_origin") nf_size nf_frame_origin(void *to, nf_size limit);
NF_API NF_FROM("nearfield_v1", "frame_sequence") nf_u64 nf_frame_sequence(void);
/* Nanoseconds since the Unix epoch, by the origin's clock. */
NF_API NF_FROM("nearfield_v1", "frame_captured_ns") nf_u64 nf_frame_captured_ns(void);

/* ---- Answers ---- */

/* Send a frame; it leaves only when the handler succeeds.
 * 0: accepted; 1: data outside memory; 2: refused (tag not allowed, or a limit is used up). */
NF_API NF_FROM("nearfield_v1", "emit") nf_i32 nf_emit(nf_u32 tag, const void *data, nf_size size);
/* The same for one source, by its name in UTF-8; it finds the frame among its results.
 * 2 also where that is no name: 1 to 64 letters, digits, `-`, `_` or `.`, of which `-` and `.` not first. */
NF_API NF_FROM("nearfield_v1", "emit_to") nf_i32 nf_emit_to(
    nf_u32 tag, const char *origin, nf_size origin_size, const void *data, nf_size size);
/* Give the reason for the failure that the handler will report, UTF-8, at most 1,024 bytes are kept. */
NF_API NF_FROM("nearfield_v1", "fail") void nf_fail(const char *text, nf_size size);

enum { NF_DEBUG = 0, NF_INFO = 1, NF_WARNING = 2, NF_ERROR = 3 };
NF_API NF_FROM("nearfield_v1", "log") void nf_log(nf_u32 level, const char *text, nf_size size);
/* Ask for frames with this tag; counts only inside NEARFIELD_OBSERVE. */
NF_API NF_FROM("nearfield_v1", "observe") void nf_observe(nf_u32 tag);

/* ---- Models named by the operator; the first one also as "default" ---- */

enum {
    NF_F16 = 0, NF_F32 = 1, NF_F64 = 2, NF_U8 = 3, NF_I32 = 4, NF_I64 = 5,
    NF_I8 = 16, NF_I16 = 17, NF_BOOL = 18, NF_OTHER = 255
};
enum { NF_INPUT = 0, NF_OUTPUT = 1 };

/* real value = scale * (stored - zero_point); scale is 0 when the tensor is not quantised. */
typedef struct {
    nf_u32 type;
    nf_u32 rank;
    nf_u32 dims[8];
    float scale;
    nf_i32 zero_point;
} nf_tensor;
NF_CHECK(sizeof(nf_tensor) == 48, "the host writes 48 bytes");

/* 0: written; 1: bad pointer; 2: no such model; 3: no such tensor. */
NF_API NF_FROM("nearfield_v1", "model_tensor") nf_u32 nf_model_tensor(
    const char *name, nf_size name_size, nf_u32 direction, nf_u32 index, nf_tensor *to);
/* Size of the label, -1: no such model or label. */
NF_API NF_FROM("nearfield_v1", "model_label") nf_i32 nf_model_label(
    const char *name, nf_size name_size, nf_u32 index, void *to, nf_size limit);

/* ---- Inference: wasi-nn. All return 0 or an error number of wasi-nn. ---- */

typedef struct {
    const nf_u32 *dims;
    nf_size dims_count;
    nf_u32 type; /* NF_U8, ... */
    const void *data;
    nf_size data_size;
} nf_nn_tensor;
NF_CHECK(sizeof(nf_nn_tensor) == 20, "the host reads 20 bytes");

NF_API NF_FROM("wasi_ephemeral_nn", "load_by_name") nf_u32 nf_nn_load_by_name(
    const char *name, nf_size name_size, nf_u32 *graph);
NF_API NF_FROM("wasi_ephemeral_nn", "unload") nf_u32 nf_nn_unload(nf_u32 graph);
NF_API NF_FROM("wasi_ephemeral_nn", "init_execution_context") nf_u32 nf_nn_context(nf_u32 graph, nf_u32 *context);
NF_API NF_FROM("wasi_ephemeral_nn", "finalize_execution_context") nf_u32 nf_nn_context_done(nf_u32 context);
NF_API NF_FROM("wasi_ephemeral_nn", "set_input") nf_u32 nf_nn_set_input(
    nf_u32 context, nf_u32 index, const nf_nn_tensor *tensor);
NF_API NF_FROM("wasi_ephemeral_nn", "compute") nf_u32 nf_nn_compute(nf_u32 context);
NF_API NF_FROM("wasi_ephemeral_nn", "get_output") nf_u32 nf_nn_get_output(
    nf_u32 context, nf_u32 index, void *to, nf_size limit, nf_size *written);

/* ---- Pictures: decode a JPEG and resize it to width x height. 0: done. ---- */

enum { NF_RGB8 = 0, NF_BGR8 = 1, NF_RGB32F = 2, NF_BGR32F = 3 };
NF_API NF_FROM("wasmedge_image", "load_jpg") nf_u32 nf_load_jpg(
    const void *jpeg, nf_size jpeg_size, nf_u32 width, nf_u32 height, nf_u32 pixel_type, void *to, nf_size to_size);

/* ---- Memory: a heap that only grows within one frame and is empty again at the next ---- */

typedef struct {
    nf_u8 *data;
    nf_size size;
} nf_bytes;

NF_API nf_u8 __heap_base;
static nf_size nf_heap_used;

/* `size` bytes, 16-byte aligned, with undefined contents; valid until the handler returns. 0: no memory left. */
static inline void *nf_alloc(nf_size size) {
    const nf_size page = 65536;
    nf_size start = ((nf_size)&__heap_base + nf_heap_used + 15) & ~(nf_size)15;
    nf_size have = __builtin_wasm_memory_size(0) * page;
    if (size > (nf_size)-1 - start) {
        return 0;
    }
    /* `have` is a multiple of the page, so `start` is never above it. */
    if (size > have - start && __builtin_wasm_memory_grow(0, (size - (have - start) - 1) / page + 1) == (nf_size)-1) {
        return 0;
    }
    nf_heap_used = start + size - (nf_size)&__heap_base;
    return (void *)start;
}

/* A copy of the payload, valid until the handler returns. Traps when it does not fit into memory. */
static inline nf_bytes nf_payload(void) {
    nf_bytes payload = {0, nf_frame_size()};
    payload.data = (nf_u8 *)nf_alloc(payload.size);
    if (payload.data == 0) {
        __builtin_trap();
    }
    nf_frame_read(payload.data, payload.size);
    return payload;
}

/* Bytes before the terminating zero. */
static inline nf_size nf_text_size(const char *text) {
    nf_size size = 0;
    while (text[size] != 0) {
        size++;
    }
    return size;
}

/* ---- Entry points ---- */

/* Export `handle`, a `const char *handle(void)`, as what the host calls for each frame. */
#define NEARFIELD_HANDLER(handle)                                     \
    NF_EXPORT("nearfield_handle") nf_i32 nearfield_handle(void) {     \
        nf_heap_used = 0;                                             \
        const char *reason = handle();                                \
        if (reason == 0) {                                            \
            return 0;                                                 \
        }                                                             \
        nf_fail(reason, nf_text_size(reason));                        \
        return 1;                                                     \
    }

/* Export `ask`, a `void ask(void)` that calls nf_observe for each tag it wants. Tags given by the operator win. */
#define NEARFIELD_OBSERVE(ask)                                        \
    NF_EXPORT("nearfield_observe") void nearfield_observe(void) {     \
        ask();                                                        \
    }

#endif
