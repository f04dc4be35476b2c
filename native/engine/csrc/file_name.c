#include "file_name.h"

#include <string.h>

#include "escape.h"

enum { ADDED = 512 /* an index and a suffix behind the name */ };

enum cv_name_kind cv_file_name(const uint8_t *at, size_t size, int hidden, char name[CV_FILE_NAME])
{
    const uint8_t *end = at + size;
    size_t length = 0;
    while (at < end) {
        if (length == CV_FILE_NAME - ADDED)
            return CV_NAME_LONG;
        uint8_t byte = cv_unescape_next(&at);
        if (byte == '\0' || byte == '\\')
            return CV_NAME_UNSAFE;
        name[length++] = (char)byte;
    }
    int folder = length == 0 || name[length - 1] == '/';
    if (length && folder)
        length--;
    name[length] = '\0';
    if (length == 0)
        return size ? CV_NAME_UNSAFE : CV_NAME_FOLDER;
    for (const char *segment = name;; segment++) {
        size_t part = strcspn(segment, "/");
        if (part == 0 || (segment[0] == '.' && (!hidden || part == 1 ||
                                                (part == 2 && segment[1] == '.'))))
            return CV_NAME_UNSAFE;
        segment += part;
        if (!*segment)
            return folder ? CV_NAME_FOLDER : CV_NAME_FILE;
    }
}
