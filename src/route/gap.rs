//! What a client is told that cannot have all that it missed.

use bytes::Bytes;

use crate::window::Gap;

/// An event in the operator's words. It has no id: a client that is cut behind it has not moved past anything.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GapEvent {
    /// Its type; none is a plain message. Without line ends.
    pub event: Option<String>,
    /// Its data, in which `{reason}` stands for why.
    pub data: String,
}

impl GapEvent {
    /// The event as it is sent.
    #[must_use]
    pub fn frame(&self, gap: Gap) -> Bytes {
        let event = self.event.iter().map(|event| format!("event: {event}\n"));
        let data = self.data.replace("{reason}", gap.reason());
        let data = data.split('\n').map(|line| format!("data: {line}\n"));
        Bytes::from(event.chain(data).chain(["\n".to_owned()]).collect::<String>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_filled_in_and_lines_stay_lines() {
        let frame = |event: Option<&str>, data: &str| {
            let gap = GapEvent { event: event.map(str::to_owned), data: data.to_owned() };
            String::from_utf8(gap.frame(Gap::Expired).to_vec()).unwrap()
        };
        assert_eq!(frame(Some("gap"), "{reason}"), "event: gap\ndata: expired\n\n");
        assert_eq!(frame(None, "{\"why\": \"{reason}\"}"), "data: {\"why\": \"expired\"}\n\n");
        assert_eq!(frame(None, "a\n\nb"), "data: a\ndata: \ndata: b\n\n");
        assert_eq!(frame(None, ""), "data: \n\n");
    }
}
