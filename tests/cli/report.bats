#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# report.html in a browser: it is quiet, asks nobody for anything, fits, and its commands work.
load common

HOSTILE=$'<script>console.log("run")<\x0a>script><img src=x onerror=console.log(1)>"\' onload=x \x1b[2J\xe2\x80\xae.txt'

# Names that would do something if they could, on an ext4 with damage, in a VHD.
hostile_node() { # NAME
	mkdir -p "$OUT/root/var/log" "$OUT/root/etc"
	yes "line of the log" | head -c 5M >"$OUT/root/$HOSTILE"
	for i in {1..60}; do
		printf 'May 14 11:%02d:01 <b>host</b> kernel: sda: I/O error, <script>console.log(2)</script> sector %d\n' $((i % 60)) $i
	done >"$OUT/root/var/log/syslog"
	printf 'PRETTY_NAME="<script>console.log(3)</script>"\nID=debian\n' >"$OUT/root/etc/os-release"
	printf '"><img src=http://192.0.2.1/x>\n' >"$OUT/root/etc/hostname"
	truncate -s 24M "$OUT/d"
	mkfs.ext4 -q -L '<i>' -d "$OUT/root" "$OUT/d"
	qemu-img convert -O vpc "$OUT/d" "$1"
	printf '\x00\xff\xff\x00' | dd of="$1" bs=1 seek=$((1536 + 4 * 3)) conv=notrunc status=none
}

browser() { # ARGUMENT...
	command -v chromium >/dev/null || skip "no chromium (tests/deps.sh browser)"
	timeout 100 chromium --headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage \
		--proxy-server=127.0.0.1:9 --disable-background-networking --disable-component-update --no-first-run \
		--user-data-dir="$OUT/profile" "$@" 2>"$OUT/browser"
}

@test "names from disk do nothing, the console is silent, and no request leaves" {
	hostile_node node.vhd
	run_vdiskck triage node.vhd -o "$OUT/case"
	expect_status 2
	browser --enable-logging=stderr --log-net-log="$OUT/net" --net-log-capture-mode=Everything \
		--dump-dom "file://$OUT/case/report.html" >"$OUT/dom"
	[ "$(wc -c <"$OUT/dom")" -gt 20000 ]
	lacks 'CONSOLE' <"$OUT/browser"
	# The page's own script stands alone; it ran, and that of the names did not.
	[ "$(grep -c '<script' "$OUT/dom")" = 1 ]
	grep -q 'class="filter"' "$OUT/dom"
	lacks '<img|onerror=|onload=' < <(sed 's/&lt;/{/g; s/<title>[^<]*<\/title>//g' "$OUT/dom" | grep -oE '<[^>]*>')
	# The names are there, as text.
	grep -q '{script' <(sed 's/&lt;/{/g' "$OUT/dom")
	lacks $'\x1b' <"$OUT/dom"
	lacks $'\xe2\x80\xae' <"$OUT/dom"
	# A browser may ask its maker for things of its own; the page asks for nothing.
	jq -r '.events[].params?.url? // empty' "$OUT/net" | sort -u >"$OUT/urls"
	lacks '192\.0\.2|file:' <"$OUT/urls"
	lacks . < <(grep -vE '^https?://[a-z0-9.]*(google|googleapis|gvt1)\.com/' "$OUT/urls")
}

@test "the page is as wide as a phone and as a desktop, at most" {
	hostile_node node.vhd
	run_vdiskck triage node.vhd -o "$OUT/case"
	# A copy that may run a script: it says in the title how wide it came out.
	sed 's/<meta http-equiv[^>]*>//; s|</body>|<script>document.title = "w" + document.documentElement.scrollWidth + "/" + innerWidth</script></body>|' \
		"$OUT/case/report.html" >"$OUT/copy.html"
	for width in 390 1280; do
		# A window has a least width: a frame of that width has none.
		printf '<body style="margin:0"><iframe id=f src="copy.html" style="border:0;width:%dpx;height:900px"></iframe><script>onload = () => document.title = f.contentDocument.title</script>' \
			$width >"$OUT/frame.html"
		browser --allow-file-access-from-files --virtual-time-budget=4000 --window-size=1400,1000 --dump-dom "file://$OUT/frame.html" >"$OUT/dom"
		grep -o '<title>[^<]*' "$OUT/dom"
		wide=$(sed -n "s/.*<title>w\([0-9]*\)\/$width.*/\1/p" "$OUT/dom")
		[ "$wide" -gt 300 ] && [ "$wide" -le $width ]
	done
}

@test "one script, by its digest, and nothing to load: the page says so to the browser itself" {
	hostile_node node.vhd
	run_vdiskck triage node.vhd -o "$OUT/case"
	python3 - "$OUT/case/report.html" <<-'END'
		import base64, hashlib, re, sys
		page = open(sys.argv[1], encoding="utf-8").read()
		scripts = re.findall(r"<script>(.*?)</script>", page, re.S)
		assert len(scripts) == 1, scripts
		digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
		policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-%s'" % digest
		assert policy in page, policy
	END
	[ "$(grep -c '<script' "$OUT/case/report.html")" = 1 ]
	lacks '<img|<link|<iframe|<object|src=|url\(|@import' < <(grep -oE '<[^>]*>|url\(|@import' "$OUT/case/report.html")
	lacks 'href="[^#]' < <(grep -oE '<[^>]*>' "$OUT/case/report.html")
	# Every place that a link leads to is there, once.
	grep -oE 'href="#[^"]*"' "$OUT/case/report.html" | sort -u | sed 's/href="#/id="/' >"$OUT/links"
	[ "$(wc -l <"$OUT/links")" -gt 12 ]
	while read -r id; do
		[ "$(grep -cF "$id" "$OUT/case/report.html")" = 1 ] || { echo "not there once: $id"; return 1; }
	done <"$OUT/links"
}

@test "the script filters the tables and folds sections; a link unfolds what it leads to" {
	hostile_node node.vhd
	run_vdiskck triage node.vhd -o "$OUT/case"
	# Another script, behind the page's own, in a copy whose policy is gone.
	sed 's/<meta http-equiv[^>]*>//; s|</body>|<script>\
		var rows = () => document.querySelectorAll("main tbody tr:not(.out)").length, all = rows();\
		var box = document.querySelector(".filter input");\
		box.value = "VHD-BAT-PAST-END"; box.oninput(); var some = rows();\
		box.value = "nothing has this name"; box.oninput(); var none = rows();\
		box.value = ""; box.oninput(); var back = rows() == all;\
		document.querySelectorAll(".fold").forEach(b => b.click());\
		var shut = [...document.querySelectorAll("article")].every(a => a.classList.contains("folded"));\
		location.hash = "vhd-bat-past-end";\
		setTimeout(() => document.title = [all > some, some > 0, none, back, shut,\
			document.getElementById("vhd-bat-past-end").classList.contains("folded"),\
			document.getElementById("boot").nextElementSibling.classList.contains("folded")].join(), 500)</script></body>|' \
		"$OUT/case/report.html" >"$OUT/copy.html"
	browser --virtual-time-budget=4000 --dump-dom "file://$OUT/copy.html" >"$OUT/dom"
	grep -o '<title>[^<]*' "$OUT/dom"
	grep -q '<title>true,true,0,true,true,false,true<' "$OUT/dom"
}

@test "a damage on the map leads to its file and to its address in every layer" {
	hostile_node node.vhd
	run_vdiskck triage node.vhd -o "$OUT/case"
	tr '\n' ' ' <"$OUT/case/report.html" >"$OUT/page"
	grep -qE '<a href="#d0"><rect class="k4"' "$OUT/page"
	grep -oE '<tr id="d0">.*</tr>' "$OUT/page" | sed 's/<\/tr>.*//' >"$OUT/row"
	grep -qF 'vhd/ext4:/&lt;script' "$OUT/row"
	grep -qE '<code>vhd</code> <span class="n">0x600000</span>' "$OUT/row"
	grep -qE '<code>vhd/ext4</code> <span class="n">0x600000</span>' "$OUT/row"
}

@test "every command of the report runs, and shows what it is said to show" {
	hostile_node "$OUT/node.vhd"
	cd "$OUT"
	VDISKCK=${VDISKCK_PROGRAM:-$VDISKCK}
	"$VDISKCK" triage node.vhd -q -o case >/dev/null || [ $? = 2 ]
	python3 -c '
import html, re, sys
page = open("case/report.html").read()
for c in sorted(set(re.findall(r"<code class=\"cmd\">(vdiskck .*?)</code>", page))):
	print(html.unescape(c))' >commands
	cat commands
	[ "$(wc -l <commands)" -ge 8 ]
	mkdir bin
	ln -s "$VDISKCK" bin/vdiskck
	PATH=$PWD/bin:$PATH
	while read -r line; do
		rm -rf DIR lost.map
		status=0
		bash -c "$line" >text 2>&1 </dev/null || status=$?
		[ $status -lt 3 ] || { echo "exit $status: $line"; cat text; return 1; }
	done <commands
	(cd case && sha256sum --quiet -c MANIFEST.sha256)
}

@test "the verdict is in the title, and a printed page keeps it" {
	hostile_node node.vhd
	run_vdiskck triage node.vhd -o "$OUT/case"
	grep -q '<title>node.vhd: damaged</title>' "$OUT/case/report.html"
	command -v pdftotext >/dev/null || skip "no pdftotext"
	browser --no-pdf-header-footer --print-to-pdf="$OUT/r.pdf" "file://$OUT/case/report.html"
	pdftotext -layout "$OUT/r.pdf" - >"$OUT/text"
	grep -q DAMAGED "$OUT/text"
	grep -q 'Damage on the disk' "$OUT/text"
	grep -q 'What was examined' "$OUT/text"
}
