command -v lintian >/dev/null || skip 'no lintian here'
lintian --fail-on error,warning --info "$(deb)"
