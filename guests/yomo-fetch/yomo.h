/* The host functions of YoMo 1.17 and 1.18, for guests in C without a C library. */

#ifndef YOMO_H
#define YOMO_H

typedef unsigned int yomo_u32;
typedef __SIZE_TYPE__ yomo_size;

#define YOMO_IMPORT(name) __attribute__((import_module("env"), import_name(#name)))
#define YOMO_EXPORT(name) __attribute__((export_name(#name)))

/* While `yomo_observe_datatags` runs: ask for frames with this tag. */
YOMO_IMPORT(yomo_observe_datatag) void yomo_observe_datatag(yomo_u32 tag);

/* The frame at hand. `yomo_context_data` returns the payload's size, and copies it when it is at most `limit`. */
YOMO_IMPORT(yomo_context_tag) yomo_u32 yomo_context_tag(void);
YOMO_IMPORT(yomo_context_data_size) yomo_u32 yomo_context_data_size(void);
YOMO_IMPORT(yomo_context_data) yomo_u32 yomo_context_data(void *data, yomo_u32 limit);

/* Emit a frame. 0: done; 1: not in memory; 2: refused. */
YOMO_IMPORT(yomo_write) yomo_u32 yomo_write(yomo_u32 tag, const void *data, yomo_u32 size);

/* Send the HTTP request described by JSON at `request`; the answer, JSON too, lies in memory from `yomo_alloc`. 0: done. */
YOMO_IMPORT(yomo_http_send)
yomo_u32 yomo_http_send(const void *request, yomo_u32 size, void **answer, yomo_u32 *answer_size);

#endif
