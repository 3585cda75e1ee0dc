# Says what the counter of a drill acknowledges on this node, as it comes, and `alive` at least once a second.
use strict;
$| = 1;
my ($path) = @ARGV;
my ($in, $known, $quiet, $rest) = (undef, '', 0, '');
while (1) {
    my @stat = stat $path;
    my $id = @stat ? "$stat[0]:$stat[1]" : '';
    if ($id ne $known) {
        ($in, $known, $rest) = (undef, $id, '');
        if ($id ne '' && !open($in, '<', $path)) { ($in, $known) = (undef, '') }
    }
    my $said = 0;
    if ($in) {
        while (sysread($in, $rest, 65536, length $rest)) { }
        # A line that is still being written waits for its end.
        my $end = rindex($rest, "\n");
        if ($end >= 0) { print substr($rest, 0, $end + 1, ''); $said = 1 }
    }
    $quiet = $said ? 0 : $quiet + 1;
    if ($quiet >= 20) { print "alive\n"; $quiet = 0 }
    select(undef, undef, undef, 0.05);
}
