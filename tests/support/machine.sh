#!/bin/bash
# A machine for tests: its own processes, network, /tmp, shared memory and home; one directory shared with others.
# Arguments: a folder of its own, the directory to share, the Python environment, its address and its name.
set -eu
folder=$1 shared=$2 environment=$3 address=$4 name=$5

mount --make-rprivate /
mkdir -p "$folder/tmp" "$folder/home/.ssh" "$folder/home/actiongrid/.venv"
# What `make install` would do again for minutes is there already.
for part in bin lib pyvenv.cfg; do ln -s "$environment/$part" "$folder/home/actiongrid/.venv/$part"; done
touch "$folder/home/actiongrid/.venv/.installed"
touch "$folder/home/.bashrc"
sed "s|^root:.*|root:x:0:0:root:/mnt/home:/bin/bash|" /etc/passwd > "$folder/passwd"

printf "127.0.0.1 localhost\n%s %s\n" "$address" "$name" > "$folder/hosts"
hostname "$name"

mount -t tmpfs tmpfs /mnt
mkdir /mnt/home /mnt/actiongrid /mnt/environment
mount --bind "$environment" /mnt/environment
mount --bind "$folder/home" /mnt/home
mount --bind "$shared" /mnt/actiongrid
mount --bind "$folder/passwd" /etc/passwd
mount --bind "$folder/hosts" /etc/hosts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /run
mkdir -p /run/sshd
mount --bind "$folder/tmp" /tmp  # last: the folder itself may lie in /tmp, and so may the environment
if [ ! -e "$environment" ]; then mkdir -p "$environment" && mount --bind /mnt/environment "$environment"; fi
ip link set lo up
exec /usr/sbin/sshd -D -e -f /dev/null -h /mnt/home/.ssh/host_key -o ListenAddress="$address" \
    -o UsePAM=no -o StrictModes=no -o PermitRootLogin=prohibit-password -o PidFile=none \
    -o AuthorizedKeysFile=/mnt/home/.ssh/authorized_keys
