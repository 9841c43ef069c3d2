//! Statements that log their bearer in, and the settings of that; a line end parts the latter from
//! the name that is made by them.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    // A statement of the seeds is genuine; others cannot be made without the key.
    let _ = lictor_server::fuzzing::jwt(text);
    let (settings, template) = text.split_once('\n').unwrap_or((text, "${value.x}"));
    lictor_server::fuzzing::method(settings, template);
});
