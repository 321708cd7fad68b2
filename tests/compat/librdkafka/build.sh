# shellcheck shell=bash disable=SC2154
# librdkafka from source, once for its own tests and those of the Rust crates. Sourced by suite.sh files.
librdkafka_package=@confluentinc/kafka-javascript@1.10.1
librdkafka=$place/librdkafka/${librdkafka_package##*@}
librdkafka_installed=$librdkafka/installed

# need_librdkafka: its sources in $librdkafka, built and installed below it.
need_librdkafka() {
  need_build
  need_apt npm npm
  need_apt pkg-config pkg-config
  need_apt '/usr/include/openssl/ssl.h' libssl-dev
  need_apt '/usr/include/zlib.h' zlib1g-dev
  need_apt '/usr/lib/*/libzstd.so' libzstd-dev
  need_apt '/usr/lib/*/libcurl.so' libcurl4-openssl-dev
  # Some of its tests are left out without it.
  need_apt '/usr/include/rapidjson/schema.h' rapidjson-dev
  local sum
  sum=$(sha256sum <"$suites_dir/librdkafka/build.sh")
  [ "$(cat "$librdkafka/stamp" 2>/dev/null)" != "$sum" ] || return 0
  rm -rf "$librdkafka" && mkdir -p "$librdkafka"
  (
    cd "$librdkafka"
    npm pack --silent "$librdkafka_package" && tar xzf ./*.tgz --strip-components=3 package/deps/librdkafka && rm -f ./*.tgz
    ./configure "--prefix=$librdkafka_installed" --disable-gssapi && make -j"$(nproc)" libs && make install-subdirs
  ) >"$place/librdkafka.log" 2>&1 </dev/null || die "librdkafka does not build; see $place/librdkafka.log"
  echo "$sum" >"$librdkafka/stamp"
}
