//! Where statements end.

use super::*;

#[test]
fn semicolons_in_text_names_and_comments_end_nothing() {
    let text =
        "SELECT ';' , \"a;b\" -- no;\n; INSERT /* ; /* ; */ ; */ 'it''s;' ;; $$ ; $$; $f$;$f$";
    assert_eq!(
        statements(text),
        [
            "SELECT ';' , \"a;b\" -- no;",
            "INSERT /* ; /* ; */ ; */ 'it''s;'",
            "$$ ; $$",
            "$f$;$f$",
        ]
    );
    assert_eq!(
        statements(" ; -- nothing\n /* at all */ ;"),
        Vec::<&str>::new()
    );
}

#[test]
fn a_statement_is_complete_after_its_semicolon() {
    for complete in ["SELECT 1;", "SELECT 1 ; -- done", "a; b;", "SELECT ';';"] {
        assert!(is_complete(complete), "{complete}");
    }
    for open in [
        "SELECT 1",
        "SELECT ';",
        "SELECT 1; SELECT",
        "/* ; ",
        "SELECT 1; /* ",
        "",
        "$$;",
    ] {
        assert!(!is_complete(open), "{open}");
    }
}

#[test]
fn a_batch_is_one_statement() {
    let batch = "begin /* ; */ BATCH INSERT INTO apply VALUES ('APPLY BATCH'); DELETE FROM batch; APPLY\nBATCH";
    let text = format!("SELECT 1; {batch}; BEGIN; APPLY; SELECT begin; SELECT batch; {batch}");
    let cut = [
        "SELECT 1",
        batch,
        "BEGIN",
        "APPLY",
        "SELECT begin",
        "SELECT batch",
        batch,
    ];
    assert_eq!(statements(&text), cut);
    assert!(!is_complete("BEGIN BATCH INSERT INTO t VALUES (1);"));
    assert!(!is_complete(batch));
    assert!(is_complete(&format!("{batch};")));
}

#[test]
fn the_stretches_are_the_whole_text() {
    for text in [
        "",
        "SELECT 'ü' + 1.5e3, \"ß\" -- x",
        "$1 é;/* ü",
        "'",
        "$",
        "日本;語",
    ] {
        let whole: String = tokens(text).iter().map(|token| token.text).collect();
        assert_eq!(whole, text);
    }
}
