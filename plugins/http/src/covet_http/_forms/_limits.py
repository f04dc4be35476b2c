"""What a form may cost: the table ``[plugins.http.forms]``."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator

from covet_http._rules._table import RuleConfig


class FormLimits(RuleConfig):
    """``[plugins.http.forms]``. Sizes in bytes; the same for both kinds of form."""

    max_fields: int = Field(default=256, ge=0, description="Fields that are no files; more is 413.")
    max_files: int = Field(default=32, ge=0, description="Files, empty ones included; more is 413.")
    max_field_bytes: int = Field(
        default=256 * 1024, ge=0, description="The value of one field; more is 413."
    )
    max_text_bytes: int = Field(
        default=1024 * 1024,
        ge=0,
        description=(
            "The values of all fields together, or a whole urlencoded form: what is kept in memory."
            " Not above max_body_bytes either; more is 413."
        ),
    )
    max_file_bytes: int = Field(
        default=16 * 1024 * 1024, ge=0, description="One file; more is 413."
    )
    max_form_bytes: int = Field(
        default=32 * 1024 * 1024,
        ge=0,
        description="The whole body of a multipart form, in place of max_body_bytes; more is 413.",
    )
    max_part_headers: int = Field(
        default=16, ge=1, description="Header lines of one part; more is 400."
    )
    max_part_header_bytes: int = Field(
        default=8 * 1024, ge=64, description="The header lines of one part together; more is 400."
    )
    spool_bytes: int = Field(
        default=256 * 1024,
        ge=0,
        description="Of a form's files in memory; what is more goes to temporary files.",
    )
    directory: str = Field(
        default="",
        description="Absolute path of where temporary files are made; empty: where the system has them.",
    )
    timeout: float | None = Field(
        default=None,
        gt=0,
        description="Seconds for a whole multipart form to arrive; body_timeout unless given.",
    )

    @field_validator("directory")
    @classmethod
    def _is_there(cls, directory: str) -> str:
        if directory and not (Path(directory).is_absolute() and Path(directory).is_dir()):
            raise ValueError("that is no absolute path of a directory")
        return directory
