//! Clients that stumble over frames without data once they hold an id, told by what they call themselves.

use std::fmt;

use globset::{Glob, GlobSet, GlobSetBuilder};
use http::{HeaderMap, header};

/// The clients that are known to, and why. All have one decoder or a copy of it: where an id was seen, it makes an
/// event of every blank line. A browser's library that does cannot be told by its `User-Agent`.
const KNOWN: [(&str, &str); 4] = [
    ("python-httpx/*", "httpx-sse up to 0.4, and what is built on it, such as the MCP SDK"),
    (
        "*/Python [0-9]*",
        "SDKs of one generator: OpenAI, Anthropic, Groq, Cerebras, Together; their JavaScript ones do not",
    ),
    ("cohere/*", "a copy of httpx-sse's decoder"),
    ("langgraph-sdk-py/*", "a copy of it; later ones stumble over lone ids and reconnection times only"),
];

/// Which clients get ids, but no frame without data. Clones are cheap.
#[derive(Clone)]
pub struct Stumbling {
    written: Vec<String>,
    agents: GlobSet,
}

impl Stumbling {
    /// The clients whose `User-Agent` matches one of these globs.
    ///
    /// # Errors
    /// When one is no glob.
    pub fn new<'a>(globs: impl IntoIterator<Item = &'a str>) -> Result<Self, globset::Error> {
        let (mut written, mut agents) = (Vec::new(), GlobSetBuilder::new());
        for glob in globs {
            agents.add(Glob::new(glob)?);
            written.push(glob.to_owned());
        }
        Ok(Self { written, agents: agents.build()? })
    }

    /// The client that sends these headers is one.
    #[must_use]
    pub fn includes(&self, request: &HeaderMap) -> bool {
        let agent = request.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
        agent.is_some_and(|agent| self.agents.is_match(agent))
    }
}

impl PartialEq for Stumbling {
    fn eq(&self, other: &Self) -> bool {
        self.written == other.written
    }
}

impl Eq for Stumbling {}

impl Default for Stumbling {
    /// Those that are known.
    fn default() -> Self {
        let known = KNOWN.map(|(glob, _)| glob);
        Self::new(known).unwrap_or_else(|_| Self { written: Vec::new(), agents: GlobSet::empty() })
    }
}

impl fmt::Debug for Stumbling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stumbling").field(&self.written).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_stumbles_is_told_by_its_user_agent() {
        let known = Stumbling::default();
        for (agent, expected) in [
            ("python-httpx/0.28.1", true),
            ("OpenAI/Python 3.57.0", true),
            ("AsyncAzureOpenAI/Python 1.2.0", true),
            ("AsyncAnthropic/Python 2.13.0", true),
            ("cohere/7.3.1", true),
            ("langgraph-sdk-py/0.4.14", true),
            ("OpenAI/JS 6.49.0", false),
            ("Python/3.13 aiohttp/3.12.0", false),
            ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", false),
            ("curl/8.14.1", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(header::USER_AGENT, agent.parse().unwrap())]);
            assert_eq!(known.includes(&headers), expected, "{agent}");
        }
        assert!(!known.includes(&HeaderMap::new()));
        let none = Stumbling::new([]).unwrap();
        assert!(!none.includes(&HeaderMap::from_iter([(header::USER_AGENT, "cohere/1".parse().unwrap())])));
    }
}
