// Prometheus with its promtool, and an Alertmanager, for the tests of the alerts. --require: exit code 1 when one is
// missing in the end.
import { provide } from './debian.mjs'

const what = 'Prometheus and its Alertmanager'
provide({ names: ['prometheus'], also: ['promtool'], folder: 'prometheus', what })
provide({
  names: ['prometheus-alertmanager', 'alertmanager'],
  also: ['amtool'],
  folder: 'alertmanager',
  what,
  // Its templates, without which it does not start, though none is used.
  reads: '/usr/share/prometheus/alertmanager',
})
