use super::{OWN, World, header, text};

#[tokio::test(start_paused = true)]
async fn the_page_may_load_itself_and_nothing_else() {
    let w = World::new("");
    for path in ["/", "/status.js", "/status.css", "/status", "/status/events", "/live", "/nothing", "/drain"]
    {
        let answer = w.ask("GET", path, OWN).await;
        let policy = header(&answer, "content-security-policy");
        for directive in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "connect-src 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "form-action 'self'",
        ] {
            assert!(policy.split("; ").any(|had| had == directive), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(header(&answer, "x-content-type-options"), "nosniff");
        assert_eq!(header(&answer, "cache-control"), "no-store");
        assert_eq!(header(&answer, "referrer-policy"), "no-referrer");
        assert_eq!(header(&answer, "access-control-allow-origin"), "", "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn all_that_the_page_names_is_there_and_nothing_in_it_is_inline() {
    let w = World::new("");
    let html = text(w.ask("GET", "/", OWN).await).await;
    let named: Vec<_> = ["src=\"", "href=\""]
        .into_iter()
        .flat_map(|start| html.split(start).skip(1).map(|rest| rest.split('"').next().unwrap()))
        .filter(|name| !name.starts_with('#'))
        .collect();
    assert!(named.len() >= 3, "{named:?}");
    for name in named {
        // Relative, so that it may stand behind a path of somebody else's.
        assert!(!name.starts_with('/') && !name.contains(':'), "{name}");
        assert_eq!(w.code("GET", &format!("/{name}"), OWN).await, 200, "{name}");
    }
    for inline in [" style=", " onclick=", " onload=", "<style", "<script>", "javascript:"] {
        assert!(!html.contains(inline), "{inline}");
    }
    for script in ["/status.js", "/view.js", "/chart.js"] {
        let script = text(w.ask("GET", script, OWN).await).await;
        for unsafe_way in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
            "setAttribute(\"style\"",
        ] {
            assert!(!script.contains(unsafe_way), "{unsafe_way}");
        }
    }
}
