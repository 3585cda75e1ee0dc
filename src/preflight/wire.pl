# Two nodes talk to each other for a moment. Only what perl-base has. Nothing is written.
#   listen SECONDS tcp:ADDRESS:PORT udp:ADDRESS:PORT ...     answers until it is told "bye", SECONDS at most
#   talk SECONDS tcp:FROM:TO:PORT udp:FROM:TO:PORT ssh:FROM:TO:PORT mtu:FROM:TO:PORT:BYTES echo:FROM:TO:PORT
#        load:FROM:TO:PORT:SECONDS bye:FROM:TO:PORT hush:FROM:TO:PORT ...      tries each in order; SECONDS to wait for the listener to come up
use strict;
use Socket;
use IO::Socket::INET;
$| = 1;
$SIG{PIPE} = 'IGNORE';

# perl-base has no Time::HiRes: clock_gettime(CLOCK_MONOTONIC) of x86_64 then.
my $hires = eval { require Time::HiRes; 1 };
sub now {
    return Time::HiRes::time() if $hires;
    my $spec = "\0" x 16;
    return time if syscall(228, 1, $spec) != 0;
    my ($seconds, $nanos) = unpack 'qq', $spec;
    return $seconds + $nanos / 1e9;
}

# Waits for a socket to have something to read.
sub ready {
    my ($socket, $seconds) = @_;
    my $in = '';
    vec($in, fileno $socket, 1) = 1;
    return select($in, undef, undef, $seconds) > 0;
}

sub answer {
    my ($seconds, @ends) = @_;
    alarm $seconds + 2;
    my (%tcp, %udp, %with);
    for my $end (@ends) {
        my ($kind, $address, $port) = split /:/, $end;
        my $socket = $kind eq 'tcp'
            ? IO::Socket::INET->new(Proto => 'tcp', Listen => 5, LocalAddr => $address, LocalPort => $port, ReuseAddr => 1)
            : IO::Socket::INET->new(Proto => 'udp', LocalAddr => $address, LocalPort => $port);
        if (!$socket) { print "bind $kind $address $port ", $! + 0, "\n"; next }
        print "bind $kind $address $port ok\n";
        ($kind eq 'tcp' ? \%tcp : \%udp)->{fileno $socket} = $socket;
    }
    my $end = now() + $seconds;
    while ((%tcp || %udp) && now() < $end) {
        my $in = '';
        vec($in, $_, 1) = 1 for keys %tcp, keys %udp, keys %with;
        next if select($in, undef, undef, 0.5) <= 0;
        for my $fd (grep { vec($in, $_, 1) } keys %tcp) {
            my $socket = $tcp{$fd}->accept or next;
            $with{fileno $socket} = { socket => $socket, text => '' } if !exists $with{fileno $socket};
        }
        for my $fd (grep { vec($in, $_, 1) } keys %udp) {
            my $from = recv($udp{$fd}, my $data, 65536, 0) or next;
            send($udp{$fd}, 'hapair ' . length $data, 0, $from);
            return if $data eq 'bye';
        }
        for my $fd (grep { vec($in, $_, 1) } keys %with) {
            my $peer = $with{$fd};
            my $count = sysread $peer->{socket}, my $data, 262144;
            if (!$count) {
                syswrite $peer->{socket}, sprintf("%d %d\n", $peer->{bytes}, (now() - $peer->{began}) * 1e6) if $peer->{began};
                close $peer->{socket};
                delete $with{$fd};
                next;
            }
            if ($peer->{began}) { $peer->{bytes} += $count; next }
            $peer->{text} .= $data;
            while ($peer->{text} =~ s/^(.*?)\n//) {
                my $word = $1;
                return if $word eq 'bye';
                if ($word eq 'load') { @$peer{'began', 'bytes'} = (now(), length $peer->{text}); last }
                syswrite $peer->{socket}, "$word\n";
            }
        }
    }
}

my %errors = (111 => 'refused', 110 => 'silent', 11 => 'silent', 115 => 'silent', 113 => 'unreachable', 101 => 'unreachable', 99 => 'no-address');

# A TCP connection, or the word for why there is none.
sub connected {
    my ($from, $to, $port, $until) = @_;
    while (1) {
        my $socket = IO::Socket::INET->new(
            Proto => 'tcp', LocalAddr => $from, PeerAddr => $to, PeerPort => $port, Timeout => 2);
        return $socket if $socket;
        my $why = $errors{ $! + 0 } || 'error-' . ($! + 0);
        return $why if $why ne 'refused' || now() > $until;
        select undef, undef, undef, 0.1;
    }
}

sub line {
    my ($socket, $seconds) = @_;
    my $text = '';
    while ($text !~ /\n/) {
        return undef if !ready($socket, $seconds);
        return undef if !sysread $socket, $text, 4096, length $text;
    }
    chomp $text;
    return $text;
}

# A datagram of so many bytes, until it is answered.
sub datagram {
    my ($from, $to, $port, $bytes, $until) = @_;
    my $socket = IO::Socket::INET->new(Proto => 'udp', LocalAddr => $from, PeerAddr => $to, PeerPort => $port)
        or return $errors{ $! + 0 } || 'error-' . ($! + 0);
    # IP_MTU_DISCOVER, IP_PMTUDISC_DO: ip(7). Never in pieces.
    setsockopt $socket, 0, 10, pack 'i', 2;
    my $why = 'silent';
    for my $try (1 .. 40) {
        if (defined send $socket, 'x' x $bytes, 0) {
            if (ready($socket, $try > 3 ? 0.1 : 0.4)) {
                my $answer = recv $socket, my $data, 4096, 0;
                return 'open' if defined $answer && $data eq "hapair $bytes";
                $why = $! + 0 == 111 ? 'refused' : 'other';
                select undef, undef, undef, 0.1;
            }
        } else {
            return 'too-long' if $! + 0 == 90;
            $why = $errors{ $! + 0 } || 'error-' . ($! + 0);
            select undef, undef, undef, 0.1;
        }
        last if $try >= 3 && now() > $until;
    }
    return $why;
}

sub talk {
    my ($patience, @wishes) = @_;
    alarm 140;
    my $until = now() + $patience;
    for my $wish (@wishes) {
        my ($kind, $from, $to, $port, $more) = split /:/, $wish;
        my $said = '';
        if ($kind eq 'udp') {
            $said = datagram($from, $to, $port, 8, $until);
        } elsif ($kind eq 'mtu') {
            # 20 bytes of IP, 8 of UDP.
            $said = datagram($from, $to, $port, $more - 28, 0);
        } elsif ($kind eq 'hush') {
            my $socket = IO::Socket::INET->new(Proto => 'udp', LocalAddr => $from, PeerAddr => $to, PeerPort => $port);
            $said = $socket && defined send($socket, 'bye', 0) ? 'sent' : 'error';
        } else {
            my $socket = connected($from, $to, $port, $until);
            if (!ref $socket) {
                $said = $socket;
            } elsif ($kind eq 'ssh') {
                # A node with much to do may take its time; silence does not say that it is another one.
                my $banner = line($socket, 15);
                $said = !defined $banner ? 'silent' : $banner =~ /^SSH-/ ? 'open' : 'other';
            } elsif ($kind eq 'tcp') {
                syswrite $socket, "hapair\n";
                my $echo = line($socket, 10);
                $said = defined $echo && $echo eq 'hapair' ? 'open' : 'other';
            } elsif ($kind eq 'echo') {
                setsockopt $socket, 6, 1, pack 'i', 1;
                my $best;
                for (1 .. 10) {
                    my $began = now();
                    syswrite $socket, "hapair\n";
                    last if !defined line($socket, 2);
                    my $took = now() - $began;
                    $best = $took if !defined $best || $took < $best;
                }
                $said = defined $best ? sprintf('%d', $best * 1e6) : 'silent';
            } elsif ($kind eq 'load') {
                my ($block, $end) = ("\0" x 131072, now() + $more);
                syswrite $socket, "load\n";
                while (now() < $end) { last if !syswrite $socket, $block }
                shutdown $socket, 1;
                my $count = line($socket, 5);
                $said = defined $count ? $count : 'silent';
            } elsif ($kind eq 'bye') {
                syswrite $socket, "bye\n";
                $said = 'open';
            }
            close $socket if ref $socket;
        }
        print "$kind $to $port", defined $more ? " $more" : '', " $said\n";
    }
}

my ($what, @rest) = @ARGV;
if ($what eq 'listen') { answer(@rest) } else { talk(@rest) }
