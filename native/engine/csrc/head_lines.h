/* Reading the lines of a head. head.c includes this once for each instruction set, with
 *
 *     CV_SET(name)   the name with the set's prefix
 *     CV_TARGET      what makes the compiler use the set
 *     CV_WIDTH       bytes of one look; at least so many must be there from `reader->at` on
 *
 * What is written here is the way of a good request. Whatever is odd goes to cv_refuse, which finds
 * out whether the line is wrong or only not complete yet. */

/* Where to look for what begins at `from`: there, or as near to the end as a look needs. Returns by
 * how many bits the look has to be shifted to begin at `from`. */
CV_TARGET CV_LOOK unsigned CV_SET(aim)(const uint8_t *from, const uint8_t *end,
                                       const uint8_t **look)
{
    size_t left = (size_t)(end - from);
    if (left >= CV_WIDTH) {
        *look = from;
        return 0;
    }
    *look = end - CV_WIDTH;
    return CV_WIDTH - (unsigned)left;
}

/* The first control character from `from` on, or `end`. */
CV_TARGET CV_LOOK const uint8_t *CV_SET(find_control)(const uint8_t *from, const uint8_t *end)
{
    while (from < end) {
        const uint8_t *look;
        unsigned shift = CV_SET(aim)(from, end, &look);
        uint64_t control = (uint64_t)CV_SET(look_control)(look) >> shift;
        if (control != 0)
            return from + __builtin_ctzll(control);
        from += CV_WIDTH - shift;
    }
    return end;
}

/* Returns the beginning of the next line, or NULL with the outcome in `*result`. */
CV_TARGET CV_LOOK uint8_t *CV_SET(read_request_line)(struct cv_reader *reader, int *result)
{
    uint8_t *line = reader->at;
    const uint8_t *end = reader->end;
    struct cv_request_line parts = {.question = NULL};

    uint32_t start = cv_half_at(line);
    if (start == CV_HALF('G', 'E', 'T', ' ')) {
        parts.target = line + 4;
    } else {
        parts.target = cv_find_token_end(line, end);
        if (parts.target == line || parts.target == end || *parts.target++ != ' ') {
            *result = cv_refuse(reader, line, 400);
            return NULL;
        }
    }

    const uint8_t *at = parts.target;
    for (;;) {
        if (at == end) {
            *result = cv_refuse(reader, line, 400);
            return NULL;
        }
        const uint8_t *look;
        unsigned shift = CV_SET(aim)(at, end, &look);
        uint32_t stop, question, percent;
        CV_SET(look_target)(look, &stop, &question, &percent);
        uint64_t stops = (uint64_t)stop >> shift;
        uint64_t inside = stops != 0 ? (stops & -stops) - 1 : UINT64_MAX;
        if (parts.question == NULL) {
            uint64_t questions = ((uint64_t)question >> shift) & inside;
            uint64_t percents = ((uint64_t)percent >> shift) & inside;
            if (questions != 0) {
                parts.question = at + __builtin_ctzll(questions);
                percents &= (questions & -questions) - 1;
            }
            parts.escaped |= percents != 0;
        }
        if (stops != 0) {
            at += __builtin_ctzll(stops);
            break;
        }
        at += CV_WIDTH - shift;
    }
    parts.target_end = at;
    if (at == parts.target || *at != ' ') {
        *result = cv_refuse(reader, line, 400);
        return NULL;
    }

    /* " HTTP/1.1\r\n" */
    if (end - at < 11 || at[9] != '\r' || at[10] != '\n') {
        *result = cv_refuse(reader, line, cv_version_status(at + 1, end));
        return NULL;
    }
    uint64_t version = cv_word_at(at + 1);
    if (version == CV_WORD('H', 'T', 'T', 'P', '/', '1', '.', '1')) {
        reader->seen |= CV_SEEN_MINOR;
    } else if (version != CV_WORD('H', 'T', 'T', 'P', '/', '1', '.', '0')) {
        *result = cv_refuse(reader, line, cv_version_status(at + 1, end));
        return NULL;
    }
    int status = cv_set_request_line(reader, &parts);
    if (status != 0) {
        *result = -status;
        return NULL;
    }
    reader->started = 1;
    return line + (at + 11 - line);
}

/* Go on from `reader->line`. Returns as cv_head_read does, but for the limit of the size. */
CV_TARGET static int CV_SET(read_lines)(struct cv_reader *reader)
{
    const uint8_t *end = reader->end;
    uint8_t *line = reader->line;

    if (!reader->started) {
        int result = 0;
        line = CV_SET(read_request_line)(reader, &result);
        if (line == NULL)
            return result;
    }

    unsigned fields = reader->fields;
    int status = 400;
    while (line < end) {
        const uint8_t *look;
        unsigned shift = CV_SET(aim)(line, end, &look);
        unsigned width = CV_WIDTH - shift;
        uint32_t stop, control;
        CV_SET(look_name)(look, &stop, &control);
        uint64_t controls = (uint64_t)control >> shift;
        /* Most looks see the name's end, and that of a short value as well. */
        unsigned size = (unsigned)__builtin_ctzll((uint64_t)stop >> shift | UINT64_C(1) << width);
        const uint8_t *colon = line + size;
        if (colon == end || *colon != ':') {
            colon = cv_find_token_end(colon, end);
            if (colon == end || *colon != ':') {
                if (end - line >= 2 && line[0] == '\r' && line[1] == '\n') {
                    reader->fields = fields;
                    return cv_finish(reader, line + 2);
                }
                break;
            }
            size = (unsigned)(colon - line);
        }
        if (size == 0)
            break;

        const uint8_t *value_end;
        if (size < width && controls >> size != 0)
            value_end = colon + __builtin_ctzll(controls >> size);
        else
            value_end = CV_SET(find_control)(size < width ? line + width : colon, end);
        if (end - value_end < 2 || value_end[0] != '\r' || value_end[1] != '\n')
            break;
        if (fields == reader->max_fields) {
            status = 431;
            break;
        }

        cv_lower_name(line, size);
        if (size < 32 && (CV_KNOWN_SIZES >> size & 1) != 0) {
            status = cv_set_field(reader, line, size, colon + 1, value_end);
            if (status != 0)
                return -status;
            status = 400;
        }
        fields++;
        line += value_end + 2 - line;
    }
    reader->fields = fields;
    return cv_refuse(reader, line, status);
}

#undef CV_SET
#undef CV_TARGET
#undef CV_WIDTH
