dpkg-deb -x "$(deb)" "$TEMP/root"
share=$TEMP/root/usr/share
command -v bash >/dev/null || skip 'no bash here'
# complete WORD...: what bash offers for the last of the words.
complete() {
	bash -c '. "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _dockfw dockfw "${@: -1}" "${@: -2:1}"
		printf "%s\n" "${COMPREPLY[@]}"' "$share/bash-completion/completions/dockfw" "$@"
}
[ "$(complete dockfw ap)" = apply ]
# What only dockfw itself runs.
[ -z "$(complete dockfw wat)" ] || die 'bash offers a hidden verb'
complete dockfw apply -- | grep -qx -- --dry-run || die 'bash offers no options'
complete dockfw apply --backend '' | grep -qx nftables || die 'bash offers no values'
if command -v zsh >/dev/null; then zsh -n "$share/zsh/vendor-completions/_dockfw"; fi
if command -v fish >/dev/null; then
	fish -c "source $share/fish/vendor_completions.d/dockfw.fish; complete --do-complete 'dockfw ap'" | grep -q ^apply
fi
