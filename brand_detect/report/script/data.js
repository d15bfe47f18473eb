const data = JSON.parse(document.getElementById("data").textContent);
const service = JSON.parse(document.getElementById("service").textContent);
const [START, END] = data.range_s;
document.documentElement.classList.add("js");
