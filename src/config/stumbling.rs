//! Which clients stumble over frames without data, as written, judged.

use super::{fault::wrong, file::File, source::Source};
use crate::proxy::stumbling::Stumbling;

/// Those that are known to, unless the operator names them all.
pub(super) fn of(file: &File, source: Source<'_>) -> Stumbling {
    let Some(written) = &file.stumbling else { return Stumbling::default() };
    let each = written.get_ref().each(&written.span());
    let stumbling = Stumbling::new(each.iter().map(|(text, _)| *text)).map_err(|error| {
        let wrote = |(text, _): &&(&str, _)| error.glob() == Some(*text);
        let span = each.iter().find(wrote).map_or_else(|| written.span(), |(_, span)| span.clone());
        let message = format!("`{}` is no glob: {}", error.glob().unwrap_or_default(), error.kind());
        let remedy = "write `*` for any part of a User-Agent, such as \"python-httpx/*\"";
        source.refuse(wrong(message, remedy), span);
    });
    stumbling.unwrap_or_default()
}
