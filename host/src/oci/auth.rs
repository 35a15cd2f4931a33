//! Asking for access: `WWW-Authenticate` (RFC 9110, section 11), and tokens as registries give them out.
//!
//! A registry that wants a token names the server that gives it. Credentials go there only if that server is the registry
//! itself or the one that the operator named; any other is asked without them.

use super::layout::shown;
use super::transport::{Ask, Session};
use super::{Credentials, OciError};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Method, Url};
use serde::Deserialize;

/// Largest answer of a token server in bytes.
const MAX_TOKEN_BYTES: usize = 64 << 10;

const TOKEN: &str = "a request for a token";

/// What a registry wants to see.
#[derive(Debug, PartialEq, Eq)]
enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

/// What to send with a request that was answered with 401 and these headers.
pub(super) async fn answer(
    session: &Session<'_>,
    what: &'static str,
    headers: &HeaderMap,
) -> Result<HeaderValue, OciError> {
    let denied = |reason: String| OciError::Denied { host: session.host.clone(), what, reason };
    let written = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    let challenges: Vec<_> = written.flat_map(challenges).collect();
    let bearer = challenges.iter().find(|challenge| matches!(challenge, Challenge::Bearer { .. }));
    match bearer.or(challenges.first()) {
        None => Err(denied("it wants to know who asks, in no way that is known here (Basic and Bearer are)".into())),
        Some(Challenge::Basic) => match &session.access.credentials {
            Some(credentials) => Ok(basic(credentials)),
            None => Err(denied(
                "it wants a name and a password: `username` and `password_file` in its [registry] table, or \
                 `--username` and `--password-file`"
                    .into(),
            )),
        },
        Some(Challenge::Bearer { realm, service, scope }) => {
            let mut url = Url::parse(realm)
                .map_err(|_| denied(format!("it names `{}` for tokens, which is no address", shown(realm))))?;
            let pairs = [("service", service), ("scope", scope)];
            for (key, value) in pairs.into_iter().filter_map(|(key, value)| value.as_ref().map(|value| (key, value))) {
                url.query_pairs_mut().append_pair(key, value);
            }
            token(session, url).await
        }
    }
}

async fn token(session: &Session<'_>, url: Url) -> Result<HeaderValue, OciError> {
    #[derive(Deserialize)]
    struct Token {
        #[serde(alias = "access_token")]
        token: Option<String>,
    }
    session.may_go_to(&url, TOKEN)?;
    let host = super::transport::authority(&url);
    let denied = |reason: String| OciError::Denied { host: host.clone(), what: TOKEN, reason };
    let known = session.is_ours(&url) || session.is_token_server(&host);
    let credentials = session.access.credentials.as_ref();
    let shown_to = if known { credentials.map(basic) } else { None };
    let response = session.once(&Ask::new(Method::GET, url, TOKEN), shown_to.as_ref()).await?;
    let refused = matches!(response.status().as_u16(), 401 | 403);
    if refused && !known && credentials.is_some() {
        return Err(denied(format!(
            "the name and password are for {}, and were not sent here; set `token_server = \"{host}\"` if this server is \
             to see them",
            session.host
        )));
    }
    if refused {
        return Err(denied("it does not accept the name and password, or wants some".into()));
    }
    if !response.status().is_success() {
        return Err(session.failed(response, TOKEN).await);
    }
    let bytes = session.read(response, TOKEN, MAX_TOKEN_BYTES).await?;
    // What is in it is a secret; a message of the parser could repeat it.
    let malformed = |message: &str| OciError::Malformed { what: "the token", message: message.to_owned() };
    let token: Token = serde_json::from_slice(&bytes).map_err(|_| malformed("it is not JSON with a `token`"))?;
    let token = token.token.ok_or_else(|| malformed("the answer has no `token`"))?;
    let mut value = HeaderValue::try_from(format!("Bearer {token}"))
        .map_err(|_| malformed("it has characters that no header may have"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The HTTP client knows how to write it.
fn basic(credentials: &Credentials) -> HeaderValue {
    let client = reqwest::Client::builder().tls_backend_preconfigured(crate::tls::trusts_nobody()).build();
    let request = client.and_then(|client| {
        let request = client.get("http://localhost/");
        request.basic_auth(&credentials.username, Some(credentials.password.as_str())).build()
    });
    let value = request.ok().and_then(|request| request.headers().get(AUTHORIZATION).cloned());
    let mut value =
        value.expect("base64 is always a header's value, and the client has no settings that could be wrong");
    value.set_sensitive(true);
    value
}

/// The challenges of one header: `scheme key=value, key="value", scheme …`. Others than ours are left out.
fn challenges(header: &str) -> Vec<Challenge> {
    let mut found: Vec<(String, Vec<(String, String)>)> = Vec::new();
    let mut rest = header;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let end = rest.find(|letter: char| !(letter.is_ascii_alphanumeric() || "-_.~+/!#$%&'*^`|".contains(letter)));
        let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
        if word.is_empty() {
            break;
        }
        let Some(value) = after.trim_start().strip_prefix('=') else {
            found.push((word.to_ascii_lowercase(), Vec::new()));
            rest = after;
            continue;
        };
        let (value, after) = parameter(value.trim_start());
        if let Some((_, parameters)) = found.last_mut() {
            parameters.push((word.to_ascii_lowercase(), value));
        }
        rest = after;
    }
    let challenge = |(scheme, parameters): (String, Vec<(String, String)>)| {
        let get = |key: &str| parameters.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone());
        match scheme.as_str() {
            "basic" => Some(Challenge::Basic),
            "bearer" => Some(Challenge::Bearer { realm: get("realm")?, service: get("service"), scope: get("scope") }),
            _ => None,
        }
    };
    found.into_iter().filter_map(challenge).collect()
}

/// A value, quoted or not, and what follows it.
fn parameter(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut letters = quoted.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(letters.next().map(|(_, escaped)| escaped)),
            _ => value.push(letter),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Challenge::Bearer { realm: realm.to_owned(), service: owned(service), scope: owned(scope) }
    }

    #[test]
    fn challenges_of_registries_are_understood() {
        assert_eq!(challenges("Basic realm=\"a, b\""), [Challenge::Basic]);
        assert_eq!(
            challenges(r#"Bearer realm="https://a.example/token",service="r",scope="repository:a/b:pull,push""#),
            [bearer("https://a.example/token", Some("r"), Some("repository:a/b:pull,push"))]
        );
        assert_eq!(
            challenges(r#"Negotiate, bearer REALM = x , error="a\"b", basic"#),
            [bearer("x", None, None), Challenge::Basic]
        );
    }

    #[test]
    fn hostile_challenges_are_passed_over() {
        for header in ["", ",,,", "=", "Bearer", "Bearer realm", "\"", "Bearer service=\"", "é", "Bearer =x\\", "a==b"]
        {
            assert_eq!(challenges(header), [], "{header}");
        }
    }

    #[test]
    fn credentials_are_written_as_rfc_7617_says_and_never_shown() {
        let credentials = Credentials { username: "Aladdin".into(), password: "open sesame".to_owned().into() };
        let value = basic(&credentials);
        assert_eq!(value.to_str().unwrap(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert!(!format!("{value:?} {credentials:?}").contains("QWxh"));
        assert!(!format!("{credentials:?}").contains("open"));
    }
}
