/* Opening what is beneath a folder by a name that comes from outside. */
#ifndef COVET_FILE_BENEATH_H
#define COVET_FILE_BENEATH_H

/* A folder that is only walked through; -1 with errno. The path itself may lead through links. */
int cv_folder_open(const char *path);

/* Open a file for reading, without following links or waiting for whatever it may be; -1 with errno.
 * What a name leads to is decided while it is opened, so that nobody who changes one meanwhile can
 * lead elsewhere. `name`: relative, segments that are neither empty nor "." nor "..". */
int cv_beneath_open(int folder, const char *name);

/* The same a segment at a time, for systems that cannot do it in one call. */
int cv_beneath_open_by_steps(int folder, const char *name);

/* Whether this errno says that a name leads nowhere, or to what is no file of the folder; anything else
 * is the system's trouble. */
int cv_beneath_is_missing(int error);

#endif
