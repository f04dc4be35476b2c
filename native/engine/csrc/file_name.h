/* From a part of a path to the name of a file. */
#ifndef COVET_FILE_NAME_H
#define COVET_FILE_NAME_H

#include <stddef.h>
#include <stdint.h>

enum { CV_FILE_NAME = 4096 /* bytes of a name, with all that is added to it */ };

enum cv_name_kind {
    CV_NAME_FILE,
    CV_NAME_FOLDER, /* it ends with a slash, which is left out; "": the folder itself */
    CV_NAME_UNSAFE, /* none that could be served */
    CV_NAME_LONG /* more than fits */
};

/* Decode a path that was checked. Its segments are then neither empty nor "." nor "..", and have
 * neither backslashes nor NULs; nor do they begin with a dot, unless `hidden`. */
enum cv_name_kind cv_file_name(const uint8_t *at, size_t size, int hidden,
                               char name[CV_FILE_NAME]);

#endif
