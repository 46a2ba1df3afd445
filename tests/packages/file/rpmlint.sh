command -v rpmlint >/dev/null || skip 'no rpmlint here'
said=$(rpmlint --config "$SOURCE/packaging/rpmlint.toml" "$(rpm_file)") || die "$said"
echo "$said" | grep -q ' 0 errors, 0 warnings' || die "$said"
