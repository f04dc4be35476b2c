/* libnghttp2, found when an engine that is to speak HTTP/2 is made: neither its headers nor the
 * library are needed to build the engine. Declared is what is used, as its version 1.43 and every
 * later one under the name libnghttp2.so.14 has it. */
#ifndef COVET_HTTP2_LIBRARY_H
#define COVET_HTTP2_LIBRARY_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct nghttp2_session nghttp2_session;
typedef struct nghttp2_session_callbacks nghttp2_session_callbacks;
typedef struct nghttp2_option nghttp2_option;

enum cv_frame_kind {
    CV_HTTP2_DATA,
    CV_HTTP2_HEADERS,
    CV_HTTP2_PRIORITY,
    CV_HTTP2_RST_STREAM,
    CV_HTTP2_SETTINGS,
    CV_HTTP2_PUSH_PROMISE,
    CV_HTTP2_PING,
    CV_HTTP2_GOAWAY,
    CV_HTTP2_WINDOW_UPDATE,
    CV_HTTP2_CONTINUATION
};

enum cv_frame_flag {
    CV_HTTP2_END_STREAM = 0x1,
    CV_HTTP2_ACK = 0x1,
    CV_HTTP2_END_HEADERS = 0x4
};

enum cv_http2_error { /* RFC 9113, 7 */
    CV_HTTP2_NO_ERROR = 0,
    CV_HTTP2_PROTOCOL_ERROR = 1,
    CV_HTTP2_INTERNAL_ERROR = 2,
    CV_HTTP2_REFUSED_STREAM = 7,
    CV_HTTP2_CANCEL = 8,
    CV_HTTP2_ENHANCE_YOUR_CALM = 11
};

enum cv_http2_setting { /* RFC 9113, 6.5.2; RFC 9218, 2.1 */
    CV_SETTING_MAX_CONCURRENT_STREAMS = 3,
    CV_SETTING_MAX_HEADER_LIST_SIZE = 6,
    CV_SETTING_ENABLE_CONNECT_PROTOCOL = 8, /* RFC 8441, 3 */
    CV_SETTING_NO_RFC7540_PRIORITIES = 9
};

enum cv_nghttp2_number {
    CV_NGHTTP2_OLDEST = 0x012b00, /* 1.43.0 */
    CV_NGHTTP2_DEFERRED = -508,
    CV_NGHTTP2_STREAM_FAILED = -521,
    CV_NGHTTP2_STREAM_FAILURE = -521, /* a callback's: this stream only */
    CV_NGHTTP2_FATAL = -900, /* below it the connection is lost */
    CV_NGHTTP2_FAILURE = -902, /* a callback's: the whole connection */
    CV_NGHTTP2_EOF = 1, /* enum nghttp2_data_flag */
    CV_NGHTTP2_NO_END_STREAM = 2,
    CV_NGHTTP2_REQUEST = 0 /* enum nghttp2_headers_category */
};

typedef struct nghttp2_info {
    int age;
    int version_num;
    const char *version_str;
    const char *proto_str;
} nghttp2_info;

typedef struct nghttp2_nv {
    uint8_t *name, *value;
    size_t namelen, valuelen;
    uint8_t flags;
} nghttp2_nv;

typedef struct nghttp2_frame_hd {
    size_t length;
    int32_t stream_id;
    uint8_t type, flags, reserved;
} nghttp2_frame_hd;

typedef struct nghttp2_priority_spec {
    int32_t stream_id, weight;
    uint8_t exclusive;
} nghttp2_priority_spec;

/* Of the union only what is looked at. */
typedef struct nghttp2_frame {
    nghttp2_frame_hd hd;
    size_t padlen; /* this and what follows: of HEADERS */
    nghttp2_priority_spec pri_spec;
    nghttp2_nv *nva;
    size_t nvlen;
    int cat;
} nghttp2_frame;

typedef struct nghttp2_settings_entry {
    int32_t settings_id;
    uint32_t value;
} nghttp2_settings_entry;

typedef union nghttp2_data_source {
    int fd;
    void *ptr;
} nghttp2_data_source;

typedef struct nghttp2_data_provider {
    nghttp2_data_source source;
    ssize_t (*read_callback)(nghttp2_session *session, int32_t stream_id, uint8_t *buf, size_t length,
                             uint32_t *data_flags, nghttp2_data_source *source, void *user_data);
} nghttp2_data_provider;

typedef struct nghttp2_mem {
    void *mem_user_data;
    void *(*malloc)(size_t size, void *mem_user_data);
    void (*free)(void *ptr, void *mem_user_data);
    void *(*calloc)(size_t nmemb, size_t size, void *mem_user_data);
    void *(*realloc)(void *ptr, size_t size, void *mem_user_data);
} nghttp2_mem;

typedef int nghttp2_frame_callback(nghttp2_session *session, const nghttp2_frame *frame, void *user);
typedef int nghttp2_header_callback(nghttp2_session *session, const nghttp2_frame *frame,
                                    const uint8_t *name, size_t namelen, const uint8_t *value,
                                    size_t valuelen, uint8_t flags, void *user);
typedef int nghttp2_data_callback(nghttp2_session *session, uint8_t flags, int32_t stream_id,
                                  const uint8_t *data, size_t len, void *user);
typedef int nghttp2_close_callback(nghttp2_session *session, int32_t stream_id, uint32_t error_code,
                                   void *user);

/* Every function by its name there, without "nghttp2_". */
#define CV_NGHTTP2_FUNCTIONS(F)                                                                     \
    F(nghttp2_info *, version, (int least))                                                         \
    F(int, session_callbacks_new, (nghttp2_session_callbacks * *made))                              \
    F(void, session_callbacks_del, (nghttp2_session_callbacks * callbacks))                         \
    F(void, session_callbacks_set_on_begin_headers_callback,                                        \
      (nghttp2_session_callbacks * callbacks, nghttp2_frame_callback * callback))                   \
    F(void, session_callbacks_set_on_header_callback,                                               \
      (nghttp2_session_callbacks * callbacks, nghttp2_header_callback * callback))                  \
    F(void, session_callbacks_set_on_invalid_header_callback,                                       \
      (nghttp2_session_callbacks * callbacks, nghttp2_header_callback * callback))                  \
    F(void, session_callbacks_set_on_frame_recv_callback,                                           \
      (nghttp2_session_callbacks * callbacks, nghttp2_frame_callback * callback))                   \
    F(void, session_callbacks_set_on_data_chunk_recv_callback,                                      \
      (nghttp2_session_callbacks * callbacks, nghttp2_data_callback * callback))                    \
    F(void, session_callbacks_set_on_frame_send_callback,                                           \
      (nghttp2_session_callbacks * callbacks, nghttp2_frame_callback * callback))                   \
    F(void, session_callbacks_set_on_stream_close_callback,                                         \
      (nghttp2_session_callbacks * callbacks, nghttp2_close_callback * callback))                   \
    F(int, option_new, (nghttp2_option * *made))                                                    \
    F(void, option_del, (nghttp2_option * option))                                                  \
    F(void, option_set_no_auto_window_update, (nghttp2_option * option, int on))                    \
    F(void, option_set_no_closed_streams, (nghttp2_option * option, int on))                        \
    F(int, session_server_new3,                                                                     \
      (nghttp2_session * *made, const nghttp2_session_callbacks *callbacks, void *user,             \
       const nghttp2_option *option, nghttp2_mem *memory))                                          \
    F(void, session_del, (nghttp2_session * session))                                               \
    F(ssize_t, session_mem_recv, (nghttp2_session * session, const uint8_t *in, size_t size))       \
    F(ssize_t, session_mem_send, (nghttp2_session * session, const uint8_t **out))                  \
    F(int, session_want_read, (nghttp2_session * session))                                          \
    F(int, session_want_write, (nghttp2_session * session))                                         \
    F(int, session_resume_data, (nghttp2_session * session, int32_t stream))                        \
    F(int, session_consume_connection, (nghttp2_session * session, size_t size))                    \
    F(int, session_consume_stream, (nghttp2_session * session, int32_t stream, size_t size))        \
    F(int, session_set_local_window_size,                                                           \
      (nghttp2_session * session, uint8_t flags, int32_t stream, int32_t size))                     \
    F(int, session_set_stream_user_data, (nghttp2_session * session, int32_t stream, void *user))   \
    F(void *, session_get_stream_user_data, (nghttp2_session * session, int32_t stream))            \
    F(int32_t, session_get_last_proc_stream_id, (nghttp2_session * session))                        \
    F(int, session_terminate_session, (nghttp2_session * session, uint32_t error))                  \
    F(int, submit_settings,                                                                         \
      (nghttp2_session * session, uint8_t flags, const nghttp2_settings_entry *settings,            \
       size_t count))                                                                               \
    F(int, submit_headers,                                                                          \
      (nghttp2_session * session, uint8_t flags, int32_t stream,                                    \
       const nghttp2_priority_spec *priority, const nghttp2_nv *fields, size_t count, void *user))  \
    F(int, submit_response,                                                                         \
      (nghttp2_session * session, int32_t stream, const nghttp2_nv *fields, size_t count,           \
       const nghttp2_data_provider *provider))                                                      \
    F(int, submit_trailer,                                                                          \
      (nghttp2_session * session, int32_t stream, const nghttp2_nv *fields, size_t count))          \
    F(int, submit_rst_stream,                                                                       \
      (nghttp2_session * session, uint8_t flags, int32_t stream, uint32_t error))                   \
    F(int, submit_shutdown_notice, (nghttp2_session * session))                                     \
    F(int, submit_goaway,                                                                           \
      (nghttp2_session * session, uint8_t flags, int32_t last_stream, uint32_t error,               \
       const uint8_t *opaque, size_t size))

typedef struct cv_nghttp2 {
#define CV_NGHTTP2_FUNCTION(result, name, arguments) result(*name) arguments;
    CV_NGHTTP2_FUNCTIONS(CV_NGHTTP2_FUNCTION)
#undef CV_NGHTTP2_FUNCTION
} cv_nghttp2;

/* The same each time; NULL if the system has none, or one that is too old. Not for two threads at
 * once the first time. */
const cv_nghttp2 *cv_nghttp2_load(void);

#endif
